"""Entailment by a natural language inference model, with premise and hypothesis "question answer"."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from rlp_bench.api import DataError, read_json

Relation = Literal["entails", "neutral", "contradicts"]

DEFAULT_MODEL = "microsoft/deberta-large-mnli"
HUB_SECONDS = 10.0
"""Longest wait for the hub when a model is looked up; ours."""
BATCH = 32
"""Pairs per forward pass."""
STEMS: tuple[tuple[str, Relation], ...] = (
    ("entail", "entails"),
    ("neutral", "neutral"),
    ("contradict", "contradicts"),
)
"""(prefix of a label's name, relation)."""


class NaturalLanguageInference:
    """A three-way classifier in Hugging Face format; the meaning of its labels is read from its config.

    Source: Kuhn et al. 2023 (arXiv:2302.09664), section 4.2 (condition on the question; arg max); Lang et al. 2024
    (arXiv:2403.19279): DeBERTa-large. Departs: a tokenizer pair instead of a literal " [SEP] "; inputs too long are
    truncated in the question first, then at the ends of both answers.
    """

    def __init__(self, argument: str = "") -> None:
        """`argument`: folder or hub id of the classifier; empty for DeBERTa-large-MNLI."""
        import torch

        from ..modeling.checkpoints import load_classifier

        source = argument or DEFAULT_MODEL
        try:
            model, self.tokenizer = load_classifier(source)
        except DataError as error:
            raise DataError(
                f'entailment "nli:{argument}": {source} cannot be loaded ({error}); give a folder with a sequence '
                'classifier in safetensors and its tokenizer: "nli:FOLDER"'
            ) from error
        self.labels = label_order(model.config.id2label, source)
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.max_tokens = _max_tokens(self.tokenizer, model.config)
        self.asked = 0
        self.truncated_question = 0
        self.truncated_answer = 0

    @staticmethod
    def check(argument: str, *, reach: bool) -> str:
        """Checks config and labels of the folder, or of the hub's model with `reach`; loads no weights.

        Raises:
            DataError: there is no such model, or its labels have other names.
        """
        source = argument or DEFAULT_MODEL
        labels = _labels(source, reach)
        if labels is None:
            return f"{source}: not checked"
        label_order(labels, source)
        return f"{source}: a classifier with {', '.join(sorted(labels.values()))}"

    def metrics(self) -> dict[str, float]:
        """Fractions of pairs whose question or answers were truncated: a truncated hypothesis is easily "entailed"."""
        asked = max(1, self.asked)
        return {
            "truncated_question_rate": self.truncated_question / asked,
            "truncated_answer_rate": self.truncated_answer / asked,
        }

    def entails(self, instruction: str, pairs: Sequence[tuple[str, str]]) -> list[Relation]:
        """The relation of premise to hypothesis, each preceded by the instruction: the arg max of the labels."""
        texts = [self._fit(instruction, premise, hypothesis) for premise, hypothesis in pairs]
        # Batch pairs of similar length, to reduce padding.
        order = sorted(range(len(texts)), key=lambda i: (-sum(map(len, texts[i])), i))
        told: list[Relation] = ["neutral"] * len(texts)
        for start in range(0, len(order), BATCH):
            chunk = order[start : start + BATCH]
            for place, label in zip(chunk, self._classify([texts[i] for i in chunk]), strict=True):
                told[place] = self.labels[label]
        return told

    def _classify(self, texts: Sequence[tuple[str, str]]) -> list[int]:
        import torch

        encoded = self.tokenizer(
            [premise for premise, _ in texts],
            [hypothesis for _, hypothesis in texts],
            padding=True,
            split_special_tokens=True,  # special tokens in answers are text
            truncation="longest_first",
            max_length=self.max_tokens,
            return_tensors="pt",
        ).to(self.model.device)
        with torch.inference_mode():
            return list(self.model(**encoded).logits.argmax(-1).tolist())

    def _fit(self, question: str, premise: str, hypothesis: str) -> tuple[str, str]:
        """The two texts, truncated to fit: first the question from its start, then the answers from their ends."""
        self.asked += 1
        room = self.max_tokens - self.tokenizer.num_special_tokens_to_add(pair=True)
        first, second = self._spans(premise), self._spans(hypothesis)
        asked = self._spans(question)
        if 2 * len(asked) + len(first) + len(second) > room:
            self.truncated_question += 1
            keep = max(0, (room - len(first) - len(second)) // 2)
            question = question[asked[-keep][0] :] if keep else ""
        if len(first) + len(second) > room:
            self.truncated_answer += 1
            one, two = longest_first(len(first), len(second), room)
            premise, hypothesis = premise[: first[one - 1][1]], hypothesis[: second[two - 1][1]]
        return f"{question} {premise}".strip(), f"{question} {hypothesis}".strip()

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each token of a text, in characters."""
        encoded = self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
        )
        return list(encoded["offset_mapping"])


def _labels(source: str, reach: bool) -> dict[int, str] | None:
    """id2label of a sequence classifier's config.json, without its weights; None: a hub's that is not asked.

    Args:
        source: a folder or a hub id. reach: whether the hub may be asked.

    Raises:
        DataError: there is no such folder or model, or its config has no labels.
    """
    path: str | Path = Path(source) / "config.json"
    if not Path(source).is_dir():
        if not reach:
            return None
        path = _config_of_hub(source)
    try:
        labels = read_json(Path(path), "a model's config")["id2label"]
        return {int(index): str(label) for index, label in labels.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f'entailment "nli:{source}": config.json has no id2label; expected a sequence classifier'
        ) from None


def _config_of_hub(source: str) -> str:
    """config.json of a hub's model, downloaded if it is not in the cache; asks an unreachable hub once."""
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    try:
        found = try_to_load_from_cache(source, "config.json")
        if isinstance(found, str):
            return found
        HfApi().model_info(source, timeout=HUB_SECONDS)
        return str(hf_hub_download(source, "config.json"))
    except Exception as error:  # of many kinds: an invalid id, no connection, no such model
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f'entailment "nli:{source}": no such folder, and the hub does not give it ({reason}); give a folder with a '
            'sequence classifier: "nli:FOLDER"'
        ) from None


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths that fit into `room` if the longer text is truncated first, then both equally."""
    if first + second <= room:
        return first, second
    half = room // 2
    if second <= half:
        return room - second, second
    if first <= half:
        return first, room - first
    return room - half, half


def label_order(id2label: dict[int, str], source: str) -> dict[int, Relation]:
    """Label index -> relation, by the names in the config.

    Raises:
        DataError: the names are not entailment, neutral and contradiction (for names like LABEL_0 the order is
            unknown: it differs between checkpoints).
    """
    order: dict[int, Relation] = {}
    for index, label in id2label.items():
        for stem, relation in STEMS:
            if str(label).lower().startswith(stem):
                order[int(index)] = relation
    if len(id2label) != 3 or len(set(order.values())) != 3:
        raise DataError(
            f'entailment model "{source}": labels {sorted(id2label.values())}; expected entailment, neutral and '
            "contradiction in id2label of its config.json; rename them there"
        )
    return order


def _max_tokens(tokenizer: Any, config: Any) -> int:
    """The maximum input length that both the tokenizer and the position embeddings allow."""
    positions = getattr(config, "max_position_embeddings", None) or 512
    return int(min(tokenizer.model_max_length, positions))
