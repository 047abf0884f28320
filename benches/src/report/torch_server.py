"""Times PyTorch on one problem after the other: a line of JSON in, a line of JSON out. Started by torch.rs."""
import json
import math
import statistics
import sys
import time


def say(answer):
    print(json.dumps(answer), flush=True)


try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except Exception as problem:  # whatever keeps it from being imported, the caller wants it in one line
    say({"error": "PyTorch cannot be imported: " + str(problem).splitlines()[0]})
    sys.exit(1)

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(1337)


def gradient(f, *inputs):
    """The backward pass of y = f(inputs) alone; the forward pass is run once, here."""
    inputs = [x.requires_grad_() for x in inputs]
    y = f(*inputs)
    dy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def either(p, f, *inputs):
    return gradient(f, *inputs) if p["pass"] == "backward" else lambda: f(*inputs)


def matmul(p):
    m, k, n, layout = p["m"], p["k"], p["n"], p["layout"]
    a = torch.randn(k, m).t() if layout == "TN" else torch.randn(m, k)
    b = torch.randn(n, k).t() if layout == "NT" else torch.randn(k, n)
    return lambda: torch.mm(a, b)


def attention(p):
    q, k, v = (torch.randn(p["b"], p["h"], p["t"], p["d"]) for _ in range(3))
    return either(p, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), q, k, v)


def attention_decode(p):
    q = torch.randn(p["b"], p["h"], 1, p["d"])
    k, v = (torch.randn(p["b"], p["h"], p["t"], p["d"]) for _ in range(2))
    return lambda: F.scaled_dot_product_attention(q, k, v)


def rows(p):
    return torch.randn(p["rows"], p["c"])


def layer_norm(p):
    c = p["c"]
    return either(p, lambda x, w, b: F.layer_norm(x, (c,), w, b), rows(p), torch.ones(c), torch.zeros(c))


def rms_norm(p):
    c = p["c"]
    return either(p, lambda x, w: F.rms_norm(x, (c,), w, 1e-5), rows(p), torch.ones(c))


def gelu(p):
    form = "none" if p["erf"] else "tanh"
    return either(p, lambda x: F.gelu(x, approximate=form), rows(p))


def bias_gelu(p):
    bias = torch.randn(p["c"])
    return either(p, lambda x: F.gelu(x + bias, approximate="tanh"), rows(p))


def cross_entropy(p):
    targets = torch.randint(p["v"], (p["rows"],))
    return either(p, lambda x: F.cross_entropy(x, targets), torch.randn(p["rows"], p["v"]))


def dropout(p):
    x = torch.randn(p["n"])
    return lambda: F.dropout(x, 0.2, training=True)


def add(p):
    a, b = torch.randn(p["n"]), torch.randn(p["n"])
    return lambda: a + b


def heads(p):
    x = torch.randn(p["b"], p["t"], p["h"], p["d"])
    return lambda: x.transpose(1, 2).contiguous()


def embedding(p):
    ids = torch.randint(p["v"], (p["ids"],))
    return either(p, lambda table: F.embedding(ids, table), torch.randn(p["v"], p["c"]))


def adamw(p):
    weights = torch.randn(p["n"]).requires_grad_()
    weights.grad = torch.randn(p["n"])
    optimiser = torch.optim.AdamW([weights], lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=True)
    return optimiser.step


def sum_of_squares(p):
    g = torch.randn(p["n"])
    return lambda: torch.linalg.vector_norm(g)


def row_sum(p):
    x = rows(p)
    return lambda: x.sum(-1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x):  # [B,T,C]
        b, t, c = x.shape
        parts = self.qkv(self.norm1(x)).split(c, 2)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in parts)  # [B,H,T,D]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, p):
        super().__init__()
        width = p["width"]
        self.tok, self.pos = nn.Embedding(p["vocab"], width), nn.Embedding(p["context"], width)
        self.blocks = nn.ModuleList(Block(width, p["heads"]) for _ in range(p["layers"]))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, p["vocab"], bias=False)
        self.head.weight = self.tok.weight
        for name, w in self.named_parameters():
            if w.dim() > 1:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(w, 0.0, 0.02 / math.sqrt(2 * p["layers"]) if last else 0.02)

    def forward(self, ids, targets):
        x = self.tok(ids) + self.pos(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def training_step(p):
    model = Gpt(p)
    decayed = [w for w in model.parameters() if w.dim() > 1]
    others = [w for w in model.parameters() if w.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    data = torch.randint(p["vocab"], (100_000,))
    b, t = p["batch"], p["context"]

    def step():
        at = torch.randint(len(data) - t - 1, (b,))
        ids = torch.stack([data[j:j + t] for j in at])
        targets = torch.stack([data[j + 1:j + 1 + t] for j in at])
        loss = model(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.item()

    for _ in range(5):
        step()
    return step


OPERATIONS = {
    "matmul": matmul, "attention": attention,
    "attention_decode": attention_decode, "layer_norm": layer_norm, "rms_norm": rms_norm, "gelu": gelu,
    "bias_gelu": bias_gelu, "cross_entropy": cross_entropy, "dropout": dropout, "add": add, "heads": heads,
    "embedding": embedding, "adamw": adamw, "sum_of_squares": sum_of_squares, "row_sum": row_sum,
    "training_step": training_step,
    "softmax": lambda p: either(p, lambda x: torch.softmax(x, -1), rows(p)),
    "log_softmax": lambda p: either(p, lambda x: torch.log_softmax(x, -1), rows(p)),
}


def clock(f, seconds):
    f(), f()
    times, begun = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begun < seconds and len(times) < 500):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return {"median_s": statistics.median(times), "minimum_s": min(times), "repetitions": len(times)}


say({"version": torch.__version__})
for line in sys.stdin:
    request = json.loads(line)
    problem = request["problem"]
    operation = OPERATIONS.get(problem["operation"])
    if operation is None:
        say({"unsupported": True})
        continue
    try:
        say(clock(operation(problem), request["seconds"]))
    except Exception as error:
        say({"error": (str(error).splitlines() or [type(error).__name__])[0]})
