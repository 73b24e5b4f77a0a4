import type { TokenizerShape } from "@plumbline/data"
import type { SteppedModel } from "@plumbline/models"
import { canRankLogits, canRecordSteps, computesOnItsOwn } from "@plumbline/runtime"
import type { GeneratorLoad } from "../generator-shape.ts"
import type { GenerationRequest } from "../request.ts"
import { checkOptions } from "./check-options.ts"
import { type RequestLimits } from "./check-request.ts"
import type { Group, GroupListener } from "./group.ts"
import { pagePool } from "./page-pool.ts"
import { commonPages, makeRoots } from "./roots.ts"
import { makeScheduler } from "./scheduler.ts"
import { makeStepper } from "./stepper.ts"

export interface EngineOptions {
  /** Responses that are written at the same time; 64 when absent. */
  readonly maxRows?: number | undefined
  /** New tokens in a step: how long a step may keep others waiting while it reads prompts; 2048 when absent. */
  readonly maxBatchTokens?: number | undefined
  /** Tokens of a page of the key-value cache; 16 when absent. */
  readonly pageSize?: number | undefined
  /** Tokens that the key-value cache holds; when absent what `maxRows` contexts take, or 512 MiB if that is less. */
  readonly cacheTokens?: number | undefined
  /** Requests in the engine; those beyond wait, and places go to their callers in turn. 1024 when absent. */
  readonly queueRequests?: number | undefined
  /** Whether steps are begun before the last one is read; when absent, where the device computes on its own and there are no drafts. */
  readonly goAhead?: boolean | undefined
  /**
   * Speculative decoding by prompt lookup: rows up to which drafted tokens may fill a step, which then draws several tokens of a
   * response; 0 for none. When absent 16 where that costs next to nothing, as a step of few rows takes the time to read the
   * weights: on the CPU by the torch backend, but for mixtures of experts.
   */
  readonly draftRows?: number | undefined
  /**
   * Whether pages of ended rows stay for prompts that begin with the same tokens, until others need them; false when absent. Keys
   * and values are then those of whoever computed them first, which may differ from a prompt's own by the rounding of products.
   */
  readonly prefixCaching?: boolean | undefined
  /** Finds stop strings; requests that have some need it. */
  readonly tokenizer?: Pick<TokenizerShape, "decode"> | undefined
}

const CACHE_BYTES = 512 * 2 ** 20

/** Logits of scored tokens in a step: 64 MiB where they are ranked on the device; else what the host reads in about 20 ms. */
const [RANKED_LOGITS, READ_LOGITS] = [2 ** 24, 2 ** 19]

/** One model, or several with the same configuration, as adapters on one base have. */
export type EngineModels = readonly [SteppedModel, ...ReadonlyArray<SteppedModel>]

/** The engine itself: synchronous, and somebody calls `step` again and again. */
export interface Engine {
  readonly limitsOf: (model: SteppedModel) => RequestLimits
  /** @param model one of the engine's */
  readonly add: (request: GenerationRequest, model: SteppedModel, listener: GroupListener) => Group
  readonly drop: (group: Group) => void
  /** One step of the model over the rows there are. @returns whether there was anything to do */
  readonly step: () => boolean
  /** To be called where weights were set from outside, before which no step may be on its way. */
  readonly forgetWeights: () => void
  /** Tells everyone who waits that it is over. */
  readonly failAll: (reason: string) => void
  readonly load: () => GeneratorLoad
  readonly dispose: () => void
}

/**
 * Over the weights of models that are one, or adapters on one base: every step sees them as they are then. Where a
 * model's have changed, its responses go on from the tokens they have, whose keys and values are computed again; so a
 * token's log-prob is that of its own version. A step may hold rows of all models, which share pages and places.
 * @throws RangeError where an option counts nothing
 */
export const makeEngine = (models: EngineModels, options: EngineOptions): Engine => {
  const [model] = models
  checkOptions(options)
  if (models.some(({ config }) => config !== model.config)) throw new TypeError("models of one engine share their base")
  const { maxBatchTokens = 2048, maxRows = 64, pageSize = 16, prefixCaching = false, tokenizer } = options
  const pages = Math.ceil((options.cacheTokens ?? defaultCacheTokens(model, maxRows, pageSize)) / pageSize)
  const common = commonPages(models, pageSize)
  // first of all: where there is no memory for so many pages, its failure says so
  const cache = model.createCache(pages + common, pageSize)
  const pool = pagePool(pages + common)
  const roots = makeRoots(models, pool, pageSize)
  const { draftRows = defaultDraftRows(model, options), goAhead = computesOnItsOwn() && draftRows === 0 } = options
  if (goAhead && draftRows > 0)
    throw new TypeError("a step with drafts is read before the next: draftRows and goAhead exclude each other")
  const scheduler = makeScheduler(pool, roots, {
    tokenizer,
    maxRows,
    maxBatchTokens: Math.max(maxBatchTokens, maxRows),
    pageSize,
    prefixCaching,
    draftRows,
    scoredLogits: canRankLogits() ? RANKED_LOGITS : READ_LOGITS
  })
  const counters = { promptTokens: 0, sampledTokens: 0, finishedResponses: 0, draftedTokens: 0, acceptedTokens: 0 }
  const stepper = makeStepper(models, cache, roots, scheduler, goAhead, (committed) => {
    counters.promptTokens += committed.promptTokens
    counters.sampledTokens += committed.sampledTokens
    counters.draftedTokens += committed.draftedTokens
    counters.acceptedTokens += committed.acceptedTokens
  })
  const counting = (listener: GroupListener): GroupListener => ({
    ...listener,
    onDone: (group) => {
      counters.finishedResponses += group.responses.length
      listener.onDone(group)
    }
  })
  return {
    limitsOf: ({ config: { vocabulary }, contextTokens, prefix }) => ({
      contextTokens,
      vocabulary,
      cacheTokens: pages * pageSize,
      pageSize,
      prefixTokens: prefix?.length ?? 0,
      tokenizer
    }),
    add: (request, of, listener) => scheduler.add(request, of, counting(listener)),
    drop: scheduler.drop,
    step: stepper.step,
    forgetWeights: stepper.forgetWeights,
    failAll: (reason) => {
      // dropping takes a group out of the list
      for (const group of scheduler.groups.slice()) {
        scheduler.drop(group)
        group.listener.onFailed(reason)
      }
    },
    load: () => {
      const rows = scheduler.groups.flatMap((group) => group.rows)
      const running = rows.filter(({ state }) => state === "running").length
      const waiting = rows.filter(({ state }) => state === "waiting").length
      const cachedTokens = scheduler.cachedTokens()
      return { running, waiting, cacheUse: 1 - pool.free() / pages, cachedTokens, ...counters }
    },
    dispose: () => {
      stepper.dispose()
      cache.dispose()
    }
  }
}

const defaultDraftRows = ({ config: { mlps } }: SteppedModel, { goAhead = false }: EngineOptions): number =>
  !goAhead && canRecordSteps() && !computesOnItsOwn() && mlps.every(({ mixture }) => mixture === undefined) ? 16 : 0

const defaultCacheTokens = ({ config }: SteppedModel, maxRows: number, pageSize: number): number => {
  const tokenBytes = 2 * config.layers * config.keyValueHeads * config.headWidth * Float32Array.BYTES_PER_ELEMENT
  const context = Math.ceil(config.maxPositions / pageSize) * pageSize
  // beside its context each row may keep a copy of a prompt's last page
  return Math.min(maxRows * (context + pageSize), Math.floor(CACHE_BYTES / tokenBytes))
}
