"""transformers' side of ./compare-generation.ts: reads a task a line from standard input, answers with a line of JSON."""

import json
import resource
import sys
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def model_of(shape, positions, precision):
    config = LlamaConfig(
        vocab_size=shape["vocabulary"], hidden_size=shape["width"], num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"], num_key_value_heads=shape.get("keyValueHeads", shape["heads"]),
        intermediate_size=shape["mlpWidth"], tie_word_embeddings=shape.get("tiedEmbeddings", False),
        max_position_embeddings=positions, bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )
    return LlamaForCausalLM._from_config(config, dtype=getattr(torch, precision), attn_implementation="sdpa").eval()


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(model, task):
    torch.manual_seed(0)
    prompt = torch.randint(0, model.config.vocab_size, (task["batch"], task["prompt"]))
    drawing = {"do_sample": False} if task["temperature"] == 0 else {
        "do_sample": True, "temperature": task["temperature"], "top_p": task["topP"], "top_k": 0}
    wall, processor = time.perf_counter(), processor_seconds()
    with torch.no_grad():
        out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=task["newTokens"],
                             min_new_tokens=task["newTokens"], eos_token_id=None, pad_token_id=0, **drawing)
    assert out.shape[1] == task["prompt"] + task["newTokens"]
    return {"wall": time.perf_counter() - wall, "processor": processor_seconds() - processor}


models = {}
for line in sys.stdin:
    task = json.loads(line)
    torch.set_num_threads(task["threads"])
    key = task["shapeName"]
    if key not in models:
        models = {key: model_of(task["shape"], 4096, task["precision"])}
    print(json.dumps(timed(models[key], task)), flush=True)
