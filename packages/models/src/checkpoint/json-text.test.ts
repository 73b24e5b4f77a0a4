import { expect, it } from "vitest"
import { jsonText } from "./json-text.ts"

it("writes numbers that are real to transformers with a point, and others as they are", () => {
  const fields = { router_jitter_noise: 0, rms_norm_eps: 1e-5, router_aux_loss_coef: 1, vocab_size: 64, name: "a: 1" }
  expect(jsonText(fields)).toBe(
    '{\n  "router_jitter_noise": 0.0,\n  "rms_norm_eps": 0.00001,\n  "router_aux_loss_coef": 1.0,\n  "vocab_size": 64,\n  "name": "a: 1"\n}\n'
  )
  expect(jsonText({ rms_norm_eps: 0 })).toBe('{\n  "rms_norm_eps": 0.0\n}\n')
})
