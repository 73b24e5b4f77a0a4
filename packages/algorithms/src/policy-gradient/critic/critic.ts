import type { TokenizedRow } from "@plumbline/data"
import { Context, type Effect, Schema } from "effect"

/** The critic cannot be asked, trained or saved: it is down, or what it said cannot be used. */
export class CriticFailed extends Schema.TaggedError<CriticFailed>()("CriticFailed", {
  /** "values", "train", "save" or "restore". */
  during: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `the critic failed to ${WORDS[this.during] ?? this.during}: ${this.reason}`
  }
}

const WORDS: Readonly<Record<string, string>> = { values: "give values", train: "learn", save: "be saved" }

/** A response, what the critic said of its tokens when it was written, and what came of them. */
export interface CriticRow {
  /** Prompt and response; the counted tokens are those of the response. */
  readonly row: TokenizedRow
  readonly origin: string
  /** [L] float32 */
  readonly oldValues: Float32Array
  /** [L] float32 */
  readonly returns: Float32Array
}

/** What the critic learns from a rollout. */
export interface CriticLesson {
  readonly rows: ReadonlyArray<CriticRow>
  /** Rows of each of its steps, in order: indices into `rows`. */
  readonly steps: ReadonlyArray<ReadonlyArray<number>>
}

export interface CriticShape {
  /** [L] float32 of each row: what is still to come, from before each counted token on. */
  readonly values: (rows: ReadonlyArray<TokenizedRow>) => Effect.Effect<ReadonlyArray<Float32Array>, CriticFailed>
  /**
   * Begins to learn and returns at once: whatever is asked later waits until it is done, in order.
   *
   * @returns an effect that waits for the end of it and gives the means over its steps
   */
  readonly train: (
    lesson: CriticLesson
  ) => Effect.Effect<Effect.Effect<Readonly<Record<string, number>>, CriticFailed>, CriticFailed>
  /**
   * Saves weights and moments, for a checkpoint that is being made in `folder` and is called `name`.
   *
   * @returns where: what `restore` is to be told
   */
  readonly save: (folder: string, name: string) => Effect.Effect<string, CriticFailed>
  /** What the other processes of a run do while the first one saves; nothing when absent. */
  readonly assist?: Effect.Effect<void>
  /** @param folder of the checkpoint, which may have been moved; @param where as `save` said */
  readonly restore: (folder: string, where: string) => Effect.Effect<void, CriticFailed>
}

/** A model that says what reward is still to come: of this process, or of another. */
export class Critic extends Context.Service<Critic, CriticShape>()("@plumbline/algorithms/Critic") {}
