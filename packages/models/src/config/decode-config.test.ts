import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { builtInFamilies } from "../families/families.ts"
import { decodeConfig } from "./decode-config.ts"
import type { JsonObject } from "./decoder-config.ts"

const decode = (json: JsonObject) => decodeConfig("model", json, builtInFamilies)
const decoded = (json: JsonObject) => Effect.runSync(decode(json))
const failure = (json: JsonObject) => Effect.runSync(Effect.flip(decode(json)))
const frequencies = (json: JsonObject) => Array.from(decoded(json).rope.inverseFrequencies)

/** A head of four features, so θ⁰ and θ^(−1/2) are its frequencies. */
const small = { model_type: "llama", hidden_size: 16, num_attention_heads: 4, num_hidden_layers: 3 }

describe("defaults", () => {
  // the fields of configuration_*.py in transformers 5.18
  it.for([
    [
      "llama",
      {
        vocabulary: 32000,
        width: 4096,
        mlpWidth: 11008,
        layers: 32,
        heads: 32,
        keyValueHeads: 32,
        headWidth: 128,
        maxPositions: 2048,
        normEpsilon: 1e-6,
        initializerRange: 0.02,
        tiedEmbeddings: false
      }
    ],
    [
      "mistral",
      {
        vocabulary: 32000,
        mlpWidth: 14336,
        keyValueHeads: 8,
        headWidth: 128,
        maxPositions: 131072,
        windows: Array.from({ length: 32 }, () => 4096)
      }
    ],
    [
      "qwen2",
      {
        vocabulary: 151936,
        mlpWidth: 22016,
        keyValueHeads: 32,
        headWidth: 128,
        maxPositions: 32768,
        windows: Array.from({ length: 32 }, () => undefined)
      }
    ],
    ["qwen3", { vocabulary: 151936, keyValueHeads: 32, headWidth: 128, normEpsilon: 1e-6 }],
    [
      "nemotron",
      {
        vocabulary: 256000,
        width: 6144,
        mlpWidth: 24576,
        heads: 48,
        headWidth: 128,
        normEpsilon: 1e-5,
        initializerRange: 0.0134,
        maxPositions: 4096
      }
    ]
  ] as const)("of %s are transformers'", ([model_type, expected]) => {
    expect(decoded({ model_type })).toMatchObject(expected)
  })

  it("null is absent for key heads and head width, and no window for sliding_window", () => {
    const config = decoded({ model_type: "mistral", num_key_value_heads: null, head_dim: null, sliding_window: null })
    expect(config).toMatchObject({ keyValueHeads: 32, headWidth: 128 })
    expect(new Set(config.windows)).toEqual(new Set([undefined]))
  })

  it("half of a Nemotron head turns", () => expect(frequencies({ model_type: "nemotron" })).toHaveLength(32))
})

describe("windows", () => {
  const qwen = { ...small, model_type: "qwen2", num_key_value_heads: 4, sliding_window: 5 }
  it.for([
    ["are off without use_sliding_window", {}, [undefined, undefined, undefined]],
    ["begin at max_window_layers", { use_sliding_window: true, max_window_layers: 2 }, [undefined, undefined, 5]],
    [
      "follow layer_types",
      { use_sliding_window: true, layer_types: ["sliding_attention", "full_attention", "sliding_attention"] },
      [5, undefined, 5]
    ]
  ] as const)("%s", ([, fields, windows]) => expect(decoded({ ...qwen, ...fields }).windows).toEqual(windows))
})

describe("rotary parameters", () => {
  it("default to θ = 10⁴", () => {
    const [first, second] = frequencies(small)
    expect(first).toBe(1)
    // 10⁴^(−2/4)
    expect(second).toBeCloseTo(0.01, 8)
  })

  it("of Mixtral default to θ = 10⁶", () => {
    // default_theta of MixtralConfig; 10⁶^(−2/4)
    const mixtral = { ...small, model_type: "mixtral", num_key_value_heads: 2 }
    const linear = { rope_scaling: { type: "linear", factor: 4 } }
    expect(frequencies(mixtral)[1]).toBeCloseTo(0.001, 9)
    expect(frequencies({ ...mixtral, ...linear })[1]).toBeCloseTo(0.00025, 9)
    expect(frequencies({ ...mixtral, rope_parameters: { rope_theta: 100 } })[1]).toBeCloseTo(0.1, 7)
  })

  it("of an odd number of features turn one more, where the head has it", () => {
    const nemotron = { ...small, model_type: "nemotron", head_dim: 6, partial_rotary_factor: 0.5 }
    // 3 of 6 features: 10⁴^0 and 10⁴^(−2/3)
    expect(frequencies(nemotron)).toEqual([1, expect.closeTo(0.0021544, 6)])
  })

  it.for([
    ["rope_parameters", { rope_parameters: { rope_type: "default", rope_theta: 100 } }],
    ["rope_theta beside them", { rope_theta: 100 }],
    ["rope_theta beside rope_scaling null", { rope_theta: 100, rope_scaling: null }],
    ["rope_parameters before rope_theta", { rope_theta: 5, rope_parameters: { rope_theta: 100 } }]
  ] as const)("take θ from %s", ([, fields]) => {
    // 100^(−2/4)
    expect(frequencies({ ...small, ...fields })[1]).toBeCloseTo(0.1, 7)
  })

  it.for([
    ["type", { rope_theta: 100, rope_scaling: { type: "linear", factor: 4 } }],
    ["rope_type", { rope_theta: 100, rope_scaling: { rope_type: "linear", factor: 4 } }],
    ["rope_parameters", { rope_parameters: { rope_type: "linear", rope_theta: 100, factor: 4 } }]
  ] as const)("linear scaling by %s divides frequencies", ([, fields]) => {
    const [first, second] = frequencies({ ...small, ...fields })
    expect([first, second]).toEqual([0.25, expect.closeTo(0.025, 8)])
  })

  it("llama3 scaling keeps short waves, divides long ones, ramps between", () => {
    // θ = 2048⁴ over 8 features: wavelengths 2π · 1, 2048, 2048², 2048³; kept below 8192/4, divided above 8192/1
    const rope = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4, rope_theta: 2048 ** 4 }
    const found = frequencies({
      ...small,
      head_dim: 8,
      rope_parameters: { ...rope, original_max_position_embeddings: 8192 }
    })
    expect(found[0]).toBe(1)
    expect(found[2]! * 2048 ** 2).toBeCloseTo(1 / 8, 6)
    // 2π·500: 8192/3141.6 = 2.6076; smooth = 1.6076/3 = 0.53587; (1 − s)/8 + s = 0.59389
    const ramp = frequencies({
      ...small,
      head_dim: 4,
      rope_parameters: { ...rope, rope_theta: 500 ** 2, original_max_position_embeddings: 8192 }
    })
    expect(ramp[1]! * 500).toBeCloseTo(0.59389, 4)
    // where the bounds cross, a wave of 3141.6 is above 8192/4 and below 8192/1: transformers divides first
    const crossed = { ...rope, low_freq_factor: 4, high_freq_factor: 1, rope_theta: 500 ** 2 }
    const [, divided] = frequencies({
      ...small,
      rope_parameters: { ...crossed, original_max_position_embeddings: 8192 }
    })
    expect(divided! * 500).toBeCloseTo(1 / 8, 6)
  })

  it("yarn's attention factor is 0.1·ln(factor) + 1", () => {
    const rope = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 32, rope_theta: 1e4 }
    // 0.1 · 1.386294 + 1
    expect(decoded({ ...small, rope_parameters: rope }).rope.scale).toBeCloseTo(1.1386294, 6)
  })
})

describe("faults", () => {
  it.for([
    [
      { model_type: "gpt2" },
      "model_type",
      "gpt2",
      ["llama", "mistral", "mixtral", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "nemotron"]
    ],
    [
      { ...small, hidden_act: "relu" },
      "hidden_act",
      "relu",
      ["silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh"]
    ],
    [{ ...small, quantization_config: { bits: 4 } }, "quantization_config", `{"bits":4}`, ["unquantized weights"]],
    [{ ...small, attention_dropout: 0.1 }, "attention_dropout", "0.1", ["0"]],
    [{ ...small, model_type: "mixtral", router_jitter_noise: 0.1 }, "router_jitter_noise", "0.1", ["0"]],
    [
      { ...small, rope_scaling: { type: "dynamic", factor: 2 } },
      "rope_scaling.rope_type",
      "dynamic",
      ["default", "linear", "llama3", "yarn"]
    ],
    [{ ...small, partial_rotary_factor: 0.5 }, "rope_parameters.partial_rotary_factor", "0.5", ["1"]],
    [
      { ...small, rope_parameters: { full_attention: { rope_theta: 5 } } },
      "rope_parameters.full_attention",
      "per layer type",
      ["one set of parameters for all layers"]
    ],
    [
      { ...small, model_type: "qwen2", layer_types: ["full_attention", "chunked_attention", "full_attention"] },
      "layer_types",
      "chunked_attention",
      ["full_attention", "sliding_attention"]
    ]
  ] as const)("unsupported: %o", ([json, field, value, supported]) => {
    expect(failure(json)).toMatchObject({ _tag: "UnsupportedModel", folder: "model", field, value, supported })
  })

  it.for([
    [{}, "model_type"],
    [{ ...small, hidden_size: "16" }, "hidden_size"],
    [{ ...small, num_hidden_layers: 2.5 }, "num_hidden_layers"],
    [{ ...small, vocab_size: 0 }, "vocab_size"],
    [{ ...small, tie_word_embeddings: "no" }, "tie_word_embeddings"],
    [{ ...small, num_key_value_heads: 3 }, "num_key_value_heads"],
    [{ ...small, rope_parameters: { rope_theta: "x" } }, "rope_parameters.rope_theta"],
    [{ ...small, head_dim: 3 }, "head_dim"],
    [{ ...small, num_attention_heads: 32 }, "head_dim"],
    [{ ...small, model_type: "nemotron", head_dim: 6, rope_scaling: { type: "yarn", factor: 2 } }, "head_dim"],
    [{ ...small, rope_scaling: { type: "linear" } }, "rope_scaling.factor"],
    [{ ...small, layer_types: ["full_attention"] }, "layer_types"],
    [
      { ...small, model_type: "mixtral", num_key_value_heads: 2, num_local_experts: 2, num_experts_per_tok: 3 },
      "num_experts_per_tok"
    ],
    [
      { ...small, model_type: "qwen2", layer_types: ["sliding_attention", "full_attention", "full_attention"] },
      "layer_types"
    ],
    [
      { ...small, model_type: "mistral", layer_types: ["sliding_attention", "full_attention", "full_attention"] },
      "layer_types"
    ],
    [{ ...small, eos_token_id: "</s>" }, "eos_token_id"],
    [{ ...small, eos_token_id: [2, null] }, "eos_token_id"],
    [{ ...small, bos_token_id: true }, "bos_token_id"],
    [{ ...small, pad_token_id: 0.5 }, "pad_token_id"]
  ] as const)("invalid: %o", ([json, field]) => {
    expect(failure(json)).toMatchObject({ _tag: "ConfigInvalid", file: "model/config.json", field })
  })

  it("names every bad field at once", () => {
    const { message } = failure({ ...small, hidden_size: "16", vocab_size: -1 })
    expect(message).toMatch(/^model\/config\.json: field "(vocab|hidden)_size": /)
    expect(message).toContain("hidden_size")
    expect(message).toContain("vocab_size")
  })
})

describe("counts", () => {
  it.for(["num_hidden_layers", "num_local_experts", "num_experts"])("refuses a %s of a thousand million", (field) => {
    const reason = "Expected a value less than or equal to 4096"
    expect(failure({ ...small, [field]: 1e9 })).toMatchObject({ field, reason })
  })
})
