import type { TokenizerShape } from "@plumbline/data"
import type { SteppedModel } from "@plumbline/models"
import { philoxStream } from "@plumbline/runtime"
import { roomOf } from "../request-limits.ts"
import type { GenerationRequest } from "../request.ts"
import type { Caller, Group, GroupListener, SampleRow } from "./group.ts"
import { rowDrafts } from "./row-drafts.ts"
import { tokenRules } from "./token-rules.ts"

export interface GroupContext {
  /** Needed where there are stop strings. */
  readonly tokenizer: Pick<TokenizerShape, "decode"> | undefined
}

export const makeGroup = (
  request: GenerationRequest,
  model: SteppedModel,
  listener: GroupListener,
  caller: Caller,
  age: number,
  { tokenizer }: GroupContext
): Group => {
  const { promptIds, promptLogProbs = false, samples = 1, sampling, seed } = request
  const rows: Array<SampleRow> = []
  const group: Group = {
    request,
    model,
    listener,
    caller,
    age,
    room: roomOf(request, model.contextTokens),
    allowed: sampling.allowedTokens && Int32Array.from(new Set(sampling.allowedTokens)),
    rows,
    prefix: undefined,
    // the first token has nothing before it
    scores: promptLogProbs
      ? { logProbs: new Float32Array(promptIds.length).fill(NaN), topLogProbs: [[]], known: 1 }
      : undefined,
    cachedTokens: undefined,
    finished: [],
    gone: false
  }
  for (let sample = 0; sample < samples; sample++) {
    rows.push({
      kind: "sample",
      group,
      held: 0,
      pages: [],
      sample,
      stream: philoxStream(seed, `sample/${sample}`),
      rules: tokenRules(request, tokenizer),
      drafts: rowDrafts(model.config.vocabulary),
      state: "waiting",
      ids: [],
      ahead: 0,
      samplingLogProbs: [],
      policyLogProbs: [],
      policyVersions: [],
      topLogProbs: []
    })
  }
  return group
}
