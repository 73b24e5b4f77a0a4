import { ChatTemplateInvalid } from "@plumbline/data"
import { InvalidSeed } from "@plumbline/runtime"
import { Effect } from "effect"
import { GenerationRefused, GenerationTimedOut, type GenerationError, GeneratorFailed } from "../errors.ts"
import { Generator } from "../generator.ts"
import { agentLoop, type AgentOptions, type AgentResult } from "./agent-loop.ts"

export type AgentError = GenerationError | ChatTemplateInvalid | InvalidSeed

/** `agentLoop` over the service. Interrupting it ends the response being written and aborts the tools' signals. */
export const runAgent = (options: Omit<AgentOptions, "signal">): Effect.Effect<AgentResult, AgentError, Generator> =>
  Effect.flatMap(Generator, (generator) =>
    Effect.tryPromise({
      try: (signal) => agentLoop(generator, { ...options, signal }),
      catch: (error) => error
    })
  ).pipe(Effect.catch((error) => (isExpected(error) ? Effect.fail(error) : Effect.die(error))))

const EXPECTED = [GenerationRefused, GenerationTimedOut, GeneratorFailed, ChatTemplateInvalid, InvalidSeed]

const isExpected = (error: unknown): error is AgentError => EXPECTED.some((kind) => error instanceof kind)
