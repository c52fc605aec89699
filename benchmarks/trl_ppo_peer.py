"""TRL 1.12's PPOTrainer on given checkpoints, run as a process of its own because its TRL is not ours.

python trl_ppo_peer.py SETTINGS.json: prints one JSON line [samples, wall seconds, CPU seconds], warm-up excluded.
"""

import json
import os
import sys
import tempfile
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import torch

torch.set_num_threads(1)


def main(settings: dict[str, Any]) -> None:
    from comparison import Stamps
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
        TrainerCallback,
    )
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(settings["policy"], padding_side="left")
    models = [AutoModelForCausalLM.from_pretrained(settings["policy"]) for _ in range(2)]
    models += [
        AutoModelForSequenceClassification.from_pretrained(settings["reward"], num_labels=1) for _ in range(2)
    ]
    stamps = Stamps()

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            stamps()

    batch, minibatches = settings["batch"], settings["batch"] // settings["minibatch"]
    with tempfile.TemporaryDirectory() as out:
        arguments = PPOConfig(
            output_dir=out, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none",
            logging_strategy="no", save_strategy="no", disable_tqdm=True, num_sample_generations=0, seed=0,
            per_device_train_batch_size=batch, gradient_accumulation_steps=1,
            num_mini_batches=minibatches, total_episodes=batch * settings["steps"],
            num_ppo_epochs=settings["epochs"], response_length=settings["response_tokens"],
            stop_token=settings["stop_token"], local_rollout_forward_batch_size=settings["forward_batch"],
            learning_rate=3e-4, kl_coef=0.1, temperature=1.0, lam=1.0, vf_coef=0.1,
            missing_eos_penalty=1.0 if settings["stop_token"] else None,
        )  # fmt: skip
        trainer = PPOTrainer(
            args=arguments, processing_class=tokenizer, model=models[0], ref_model=models[1],
            reward_model=models[2], value_model=models[3], callbacks=[Clock()],
            train_dataset=Dataset.from_list([{"input_ids": row} for row in settings["prompts"]]),
            eval_dataset=Dataset.from_list([{"input_ids": row} for row in settings["prompts"][:1]]),
        )  # fmt: skip
        trainer.train()
    print(json.dumps(stamps.timing(batch)))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        main(json.load(file))
