"""Times PyTorch on one problem after the other: a line of JSON in, a line of JSON out. Started by torch.rs."""
import json
import math
import resource
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
DEVICE = sys.argv[2]
CUDA = DEVICE.startswith("cuda")
if CUDA:
    if not torch.cuda.is_available():
        say({"error": "this PyTorch has no CUDA, or finds no card"})
        sys.exit(1)
    torch.cuda.set_device(DEVICE)
    torch.set_default_device(DEVICE)
torch.manual_seed(1337)


def gradient(f, *inputs):
    """The backward pass of y = f(inputs) alone; the forward pass is run once, here."""
    inputs = [x.requires_grad_() for x in inputs]
    y = f(*inputs)
    dy = torch.randn_like(y)
    return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)


def either(p, f, *inputs):
    return gradient(f, *inputs) if p["pass"] == "backward" else lambda: f(*inputs)


def matmul(p, dtype=torch.float32):
    m, k, n, layout = p["m"], p["k"], p["n"], p["layout"]
    a = torch.randn(k, m).to(dtype).t() if layout == "TN" else torch.randn(m, k).to(dtype)
    b = torch.randn(n, k).to(dtype).t() if layout == "NT" else torch.randn(k, n).to(dtype)
    return lambda: torch.mm(a, b)


def attention(p, dtype=torch.float32):
    q, k, v = (torch.randn(p["b"], p["h"], p["t"], p["d"]).to(dtype) for _ in range(3))
    return either(p, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), q, k, v)


def attention_decode(p, dtype=torch.float32):
    q = torch.randn(p["b"], p["h"], 1, p["d"]).to(dtype)
    k, v = (torch.randn(p["b"], p["h"], p["t"], p["d"]).to(dtype) for _ in range(2))
    return lambda: F.scaled_dot_product_attention(q, k, v)


def rows(p):
    return torch.randn(p["rows"], p["c"])


def layer_norm(p):
    c = p["c"]
    return either(p, lambda x, w, b: F.layer_norm(x, (c,), w, b), rows(p), torch.ones(c), torch.zeros(c))


def rms_norm(p):
    c = p["c"]
    return either(p, lambda x, w: F.rms_norm(x, (c,), w, 1e-5), rows(p), torch.ones(c))


def rope(p):
    b, t, h, d = p["b"], p["t"], p["h"], p["d"]
    angles = torch.arange(t)[:, None] * 10000.0 ** (-torch.arange(0, d, 2) / d)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]

    def turn(x):
        q_k, v = x.split([2 * h, h], 2)
        first, second = (q_k[..., ::2], q_k[..., 1::2]) if p["interleaved"] else q_k.chunk(2, -1)
        turned = first * cos - second * sin, second * cos + first * sin
        turned = torch.stack(turned, -1).flatten(-2) if p["interleaved"] else torch.cat(turned, -1)
        return torch.cat([turned, v], 2)

    return either(p, turn, torch.randn(b, t, 3 * h, d))


def gelu(p):
    form = "none" if p["erf"] else "tanh"
    return either(p, lambda x: F.gelu(x, approximate=form), rows(p))


def silu(p):
    return either(p, F.silu, rows(p))


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


def sgd(p):
    weights = torch.randn(p["n"]).requires_grad_()
    weights.grad = torch.randn(p["n"])
    optimiser = torch.optim.SGD([weights], lr=1e-3, momentum=0.9, weight_decay=0.1, fused=True)
    return optimiser.step


def sum_of_squares(p):
    g = torch.randn(p["n"])
    return lambda: torch.linalg.vector_norm(g)


def row_sum(p):
    x = rows(p)
    return lambda: x.sum(-1)


class Block(nn.Module):
    def __init__(self, width, heads, bias, dropout):
        super().__init__()
        self.heads, self.p = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=bias), nn.LayerNorm(width, bias=bias)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=bias), nn.Linear(width, width, bias=bias)
        self.up, self.down = nn.Linear(width, 4 * width, bias=bias), nn.Linear(4 * width, width, bias=bias)
        self.drop = nn.Dropout(dropout)

    def parts(self, x):
        """x [B,T,C] to q, k and v [B,H,T,D]."""
        b, t, c = x.shape
        parts = self.qkv(self.norm1(x)).split(c, 2)
        return (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in parts)

    def rest(self, x, y):
        """What comes after attention; y [B,H,T,D] is its output."""
        x = x + self.drop(self.out(y.transpose(1, 2).reshape(x.shape)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))

    def forward(self, x):
        q, k, v = self.parts(x)
        dropped = self.p if self.training else 0.0
        return self.rest(x, F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropped))

    def read(self, x, keys, values, at):
        """One position, whose key and value join those of the past."""
        q, k, v = self.parts(x)
        keys[:, :, at:at + 1], values[:, :, at:at + 1] = k, v
        return self.rest(x, F.scaled_dot_product_attention(q, keys[:, :, :at + 1], values[:, :, :at + 1]))


class Gpt(nn.Module):
    def __init__(self, p, dropout):
        super().__init__()
        width, bias = p["width"], p["bias"]
        self.tok, self.pos = nn.Embedding(p["vocab"], width), nn.Embedding(p["context"], width)
        self.blocks = nn.ModuleList(Block(width, p["heads"], bias, dropout) for _ in range(p["layers"]))
        self.norm, self.head = nn.LayerNorm(width, bias=bias), nn.Linear(width, p["vocab"], bias=False)
        self.drop = nn.Dropout(dropout)
        self.head.weight = self.tok.weight
        for name, w in self.named_parameters():
            if w.dim() > 1:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(w, 0.0, 0.02 / math.sqrt(2 * p["layers"]) if last else 0.02)

    def forward(self, ids, targets):
        x = self.drop(self.tok(ids) + self.pos(torch.arange(ids.shape[1])))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())

    def read(self, ids, caches, at):
        x = self.tok(ids) + self.pos(torch.tensor([at]))
        for block, (keys, values) in zip(self.blocks, caches):
            x = block.read(x, keys, values, at)
        return self.head(self.norm(x))


def training_step(p):
    sizes = p["gpt"]
    model = Gpt(sizes, p["dropout"])
    decayed = [w for w in model.parameters() if w.dim() > 1]
    others = [w for w in model.parameters() if w.dim() < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    data = torch.randint(sizes["vocab"], (100_000,), device="cpu")
    b, t = p["batch"], sizes["context"]

    def step():
        at = torch.randint(len(data) - t - 1, (b,), device="cpu")
        ids = torch.stack([data[j:j + t] for j in at]).to(DEVICE)
        targets = torch.stack([data[j + 1:j + 1 + t] for j in at]).to(DEVICE)
        with torch.autocast(torch.device(DEVICE).type, dtype=torch.bfloat16, enabled=p["precision"] == "bf16"):
            loss = model(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.item()

    return step


def generate(p):
    sizes, tokens = p["gpt"], p["tokens"]
    dtype = torch.bfloat16 if p["precision"] == "bf16" else torch.float32
    model = Gpt(sizes, 0.0).eval().to(dtype)
    shape = (1, sizes["heads"], sizes["context"], sizes["width"] // sizes["heads"])
    caches = [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in range(sizes["layers"])]
    state = [torch.zeros(1, 1, dtype=torch.long), 0]

    def token():
        with torch.inference_mode():
            ids, at = state
            logits = model.read(ids, caches, at)
            state[:] = logits[:, -1].argmax(-1, keepdim=True), (at + 1) % tokens

    return token


OPERATIONS = {
    "matmul": matmul, "attention": attention,
    "attention_decode": attention_decode, "layer_norm": layer_norm, "rms_norm": rms_norm, "rope": rope, "gelu": gelu,
    "silu": silu, "cross_entropy": cross_entropy, "dropout": dropout, "add": add, "heads": heads,
    "embedding": embedding, "adamw": adamw, "sgd": sgd, "sum_of_squares": sum_of_squares, "row_sum": row_sum,
    "training_step": training_step, "generate": generate,
    "matmul_bf16": lambda p: matmul(p, torch.bfloat16), "attention_bf16": lambda p: attention(p, torch.bfloat16),
    "attention_decode_bf16": lambda p: attention_decode(p, torch.bfloat16),
    "decode_bf16": lambda p: matmul({**p, "m": 1, "layout": "NT"}, torch.bfloat16),
    "softmax": lambda p: either(p, lambda x: torch.softmax(x, -1), rows(p)),
    "log_softmax": lambda p: either(p, lambda x: torch.log_softmax(x, -1), rows(p)),
}


LONG = 0.02  # what takes longer has no untimed call before its turn, as in timing.rs
MOST = 500
CALLS = 8  # until the heap has grown: of the first ones each is given other pages, which are new
PATIENCE = 1.0
GROUP = 1e-3  # the calls between two events on a card last at least so long, as in card.rs


def timed(f, calls=1):
    """The seconds of a call: by the clock of the card, where there is one."""
    if CUDA:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(calls):
            f()
        last.record()
        last.synchronize()
        return first.elapsed_time(last) / 1e3 / calls
    begun = time.perf_counter()
    for _ in range(calls):
        f()
    return (time.perf_counter() - begun) / calls


def prepare(problem, warm_up):
    """A problem's call, which has run, and the time of its last run."""
    f = OPERATIONS[problem["operation"]](problem)
    begun = time.perf_counter()
    once, calls = timed(f), 1
    while (passed := time.perf_counter() - begun) < warm_up or (calls < CALLS and passed < PATIENCE):
        once, calls = timed(f), calls + 1
    return f, once


def turn(f, once, seconds):
    """The same rule as in timing.rs."""
    if once < LONG:
        f()
    calls = min(1000, max(1, math.ceil(GROUP / max(once, 1e-7)))) if CUDA else 1
    times, begun = [], time.perf_counter()
    while not times or (len(times) < MOST and time.perf_counter() - begun < seconds):
        times.append(timed(f, calls))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    if CUDA:
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {"median_s": statistics.median(times), "minimum_s": min(times), "repetitions": len(times), "peak_mib": peak}


say({"version": torch.__version__})
prepared, call = None, None
for line in sys.stdin:
    request = json.loads(line)
    problem = request["problem"]
    if problem["operation"] not in OPERATIONS:
        say({"unsupported": True})
        continue
    try:
        if problem != prepared:
            prepared = call = None  # the memory of the one before is free for this one
            call = prepare(problem, request["warm_up"])
            prepared = problem
        say(turn(*call, request["seconds"]))
    except Exception as error:
        say({"error": (str(error).splitlines() or [type(error).__name__])[0]})
