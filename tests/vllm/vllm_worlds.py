"""A random Llama with a word-level tokenizer, wide enough in its heads for vLLM on a CPU."""

WORDS = [f"w{number}" for number in range(60)]


def word_tokenizer(**more):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<eos>", "<end>", "<unk>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", **more
    )


def make_llama(folder, seed=0, head_dim=32, ends=(1,), **more):
    """A random Llama of two layers whose distribution is far from uniform and which ends in some 15 tokens."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = word_tokenizer(additional_special_tokens=["<end>"])
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=64 // head_dim,
        num_key_value_heads=1,
        head_dim=head_dim,
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=list(ends) if len(ends) > 1 else ends[0],
        bos_token_id=None,
        initializer_range=0.2,
        **more,
    )
    model = LlamaForCausalLM(config)
    # what a published checkpoint may say of decoding, and what must not leak into samples
    model.generation_config = GenerationConfig(
        eos_token_id=list(ends), pad_token_id=0, do_sample=True, top_k=3, repetition_penalty=1.3
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
