"""A random model of Llama-3.2-1B's shape in transformers, and how to time work on a card; shared by gpu_step.py and gpu_fisher.py."""

import statistics

import torch
from transformers import LlamaConfig, LlamaForCausalLM

LORA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def model(length, attention="sdpa", layers=16, seed=1):
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=layers,
        num_attention_heads=32, num_key_value_heads=8,
        head_dim=64, max_position_embeddings=length, rms_norm_eps=1e-5, rope_theta=500000.0,
        tie_word_embeddings=True, attention_dropout=0.0,
        use_cache=False)
    config._attn_implementation = attention
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda"):
            return LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)


def tokens(batch, length, vocabulary=128256, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocabulary, (batch, length), generator=generator).cuda()


def time(work, repetitions, warmup):
    """Median and best milliseconds of work(), and the most bytes that PyTorch had in use; compilation is part of the warm-up."""
    for _ in range(warmup):
        work()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(repetitions):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times), min(times), torch.cuda.max_memory_allocated()
