import {
  CRITIC_PATH,
  type CriticFailed,
  type CriticShape,
  decodeWire,
  encodeWire,
  lessonFrom,
  rowsOf
} from "@plumbline/algorithms"
import { type Admission, badField, jsonBody, type Limits, RequestRefused, type Route } from "@plumbline/serving"
import { makeFolder } from "@plumbline/training"
import { Effect } from "effect"
import { HttpServerResponse } from "effect/http"
import { join } from "node:path"

export interface CriticRoutesOptions {
  readonly critic: CriticShape
  /** Where checkpoints are kept. */
  readonly folder: string
  readonly vocabulary: number
  readonly limits: Limits
  readonly admission: Admission
}

type Body = Readonly<Record<string, unknown>>
type Answer = (body: Body) => Effect.Effect<object, RequestRefused | CriticFailed>

/** A critic over HTTP: asked, taught in order, saved. What a lesson came to waits for whoever asks. */
export const criticRoutes = (options: CriticRoutesOptions): ReadonlyArray<Route> =>
  Object.entries(answers(options)).map(([path, answer]) => ({
    method: "POST",
    path: `${CRITIC_PATH}${path}`,
    handle: (request) =>
      Effect.gen(function* () {
        yield* options.admission.enter
        // all rows of a rollout, from a run that waits for nothing else
        const body = yield* jsonBody(request, options.limits, Number.POSITIVE_INFINITY)
        yield* options.admission.turn
        const decoded = yield* reading("body", () => decodeWire(body))
        const answered = yield* answer(decoded).pipe(Effect.catchTag("CriticFailed", unable))
        return HttpServerResponse.text(encodeWire(answered), { contentType: "application/json" })
      })
  }))

/** Lessons whose end may still be asked for. */
const REMEMBERED = 64

const answers = ({ critic, folder, vocabulary }: CriticRoutesOptions): Readonly<Record<string, Answer>> => {
  const lessons = new Map<number, Effect.Effect<Readonly<Record<string, number>>, CriticFailed>>()
  let next = 0
  return {
    values: Effect.fnUntraced(function* ({ rows }) {
      const asked = yield* reading("rows", () => rowsOf(rows, vocabulary))
      return { values: yield* critic.values(asked) }
    }),
    train: Effect.fnUntraced(function* (body) {
      const lesson = yield* reading("rows", () => lessonFrom(body, vocabulary))
      const learnt = yield* critic.train(lesson)
      lessons.set(next, learnt)
      lessons.delete(next - REMEMBERED)
      return { lesson: next++ }
    }),
    learnt: Effect.fnUntraced(function* ({ lesson }) {
      const learnt = lessons.get(Number(lesson))
      if (learnt === undefined) return yield* badField("lesson", `there is no lesson ${String(lesson)}`)
      return { metrics: yield* learnt }
    }),
    save: Effect.fnUntraced(function* ({ name }) {
      const place = yield* checkpointFolder(folder, "name", name)
      yield* reading("name", () => makeFolder(place))
      yield* critic.save(place, String(name))
      return { where: String(name) }
    }),
    restore: Effect.fnUntraced(function* ({ where }) {
      yield* critic.restore(yield* checkpointFolder(folder, "where", where), "critic")
      return {}
    })
  }
}

/** Names are those of checkpoints, so nobody reaches out of the folder. */
const checkpointFolder = (folder: string, field: string, name: unknown) =>
  typeof name === "string" && /^[\w-]+$/.test(name)
    ? Effect.succeed(join(folder, name))
    : Effect.fail(badField(field, "is no name of letters, digits, _ and -"))

const reading = <A>(field: string, body: () => A): Effect.Effect<A, RequestRefused> =>
  Effect.try({ try: body, catch: (cause) => badField(field, cause instanceof Error ? cause.message : String(cause)) })

const unable = ({ message }: CriticFailed) => Effect.fail(new RequestRefused({ status: 500, reason: message }))
