"""The decoders of the CPU peers in plain torch.nn: Llama's blocks and GPT-2's, with a tied head."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class RMSNorm(nn.Module):
    def __init__(self, dim, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


class LoraLinear(nn.Module):
    """A frozen linear layer with a trainable low-rank part; as in our program each projection has its own."""

    def __init__(self, inputs, outputs, rank, alpha=16):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self.a = nn.Parameter(torch.empty(rank, inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = alpha / rank

    def forward(self, x):
        return F.linear(x, self.weight) + F.linear(F.linear(x, self.a) * self.scale, self.b)


def linear(o, inputs, outputs):
    return LoraLinear(inputs, outputs, o.lora_rank) if o.lora_rank else nn.Linear(inputs, outputs, bias=o.family == "gpt2")


def norm(o):
    return nn.LayerNorm(o.dim) if o.family == "gpt2" else RMSNorm(o.dim)


class Attention(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads = o.heads
        # One product for query, key and value; Llama's adapters are separate, so there the products are too.
        parts = [o.dim] * 3 if o.lora_rank and o.family == "llama" else [3 * o.dim]
        self.qkv = nn.ModuleList(linear(o, o.dim, part) for part in parts)
        self.out = linear(o, o.dim, o.dim)

    def forward(self, x, start, angles, mask, cache):
        batch, length, dim = x.shape
        parts = [layer(x) for layer in self.qkv] if len(self.qkv) == 3 else self.qkv[0](x).split(dim, -1)
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        if angles:
            q, k = rotate(q, *angles), rotate(k, *angles)
        if cache is not None:
            cache[0][:, :, start : start + length] = k
            cache[1][:, :, start : start + length] = v
            k, v = cache[0][:, :, : start + length], cache[1][:, :, : start + length]
        y = attend(q, k, v, mask[:, start : start + length, : start + length])
        return self.out(y.transpose(1, 2).reshape(batch, length, dim))


def attend(q, k, v, mask):
    """Causal attention; one fused call where this PyTorch has it. q [B, H, T, D], k and v [B, H, S, D], mask [1, T, S]."""
    batch, heads, length, size = q.shape
    if hasattr(F, "scaled_dot_product_attention"):
        whole = length == k.shape[2]
        return F.scaled_dot_product_attention(q, k, v, is_causal=whole, attn_mask=None if whole or length == 1 else mask)
    q, k, v = (t.reshape(batch * heads, -1, size) for t in (q, k, v))
    scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=size ** -0.5)
    return torch.bmm(scores.softmax(-1), v).view(batch, heads, length, size)


def rotate(x, cosine, sine):
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class Mlp(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.gate = linear(o, o.dim, o.mlp) if o.family == "llama" else None
        self.up, self.down = linear(o, o.dim, o.mlp), linear(o, o.mlp, o.dim)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x) if self.gate else F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.attention_norm, self.attention, self.mlp_norm, self.mlp = norm(o), Attention(o), norm(o), Mlp(o)

    def forward(self, x, *rest):
        x = x + self.attention(self.attention_norm(x), *rest)
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nn.Module):
    """Random weights of the shape in `o`, for sequences of at most `o.length` tokens."""

    def __init__(self, o):
        super().__init__()
        self.embedding = nn.Embedding(o.vocab, o.dim)
        self.positions = nn.Embedding(o.length, o.dim) if o.family == "gpt2" else None
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = norm(o)
        self.mask = torch.full((1, o.length, o.length), -math.inf).triu(1)
        self.angles = None
        if o.family == "llama":
            size = o.dim // o.heads
            angles = torch.arange(o.length)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
            self.angles = angles.cos(), angles.sin()
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2 and not name.endswith(".b"):
                nn.init.normal_(parameter, std=0.02)
            if o.lora_rank:
                parameter.requires_grad_(name.endswith((".a", ".b")))

    def forward(self, ids, start=0, caches=None):
        """Final hidden states [B, T, C] of the tokens at places `start` and on."""
        end = start + ids.shape[1]
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions.weight[start:end]
        angles = self.angles and tuple(table[start:end] for table in self.angles)
        for i, block in enumerate(self.blocks):
            x = block(x, start, angles, self.mask, caches[i] if caches else None)
        return self.norm(x)

    def logits(self, hidden):
        return F.linear(hidden, self.embedding.weight)

    def loss(self, ids, reduction="mean"):
        """Cross-entropy of every token but each sequence's first. The last position predicts nothing and does not reach the head."""
        return F.cross_entropy(self.logits(self(ids)[:, :-1]).flatten(0, 1), ids[:, 1:].flatten(), reduction=reduction)

    def caches(self, batch, length):
        """Room for the keys and values of every block: [B, H, length, D] each."""
        shape = batch, self.blocks[0].attention.heads, length, self.norm.weight.shape[0] // self.blocks[0].attention.heads
        return [(torch.zeros(shape), torch.zeros(shape)) for _ in self.blocks]


def weights(o):
    """Elements of the linear layers: of all blocks, and of the head."""
    return o.layers * (4 * o.dim ** 2 + (2 if o.family == "gpt2" else 3) * o.dim * o.mlp), o.vocab * o.dim


def attention_operations(o, length):
    """Of the forward pass of one sequence: half of the scores are masked."""
    return 2 * o.layers * o.dim * length * (length + 1)


def describe(o):
    return f"{'gpt2 ' if o.family == 'gpt2' else ''}{o.dim}x{o.layers}"
