// node run.mjs BUNDLE REPORT – runs the bundled specs under jasmine and writes the outcome of each as JSON.
import { writeFileSync } from "node:fs"
import { pathToFileURL } from "node:url"
import jasmineCore from "jasmine-core"

const [bundle, report] = process.argv.slice(2)
const specs = []
const environment = jasmineCore.boot().getEnv()
environment.configure({ random: false })
environment.addReporter({
  specDone: ({ failedExpectations, fullName, status }) =>
    specs.push({ name: fullName, status, reasons: failedExpectations.map(({ message }) => message.slice(0, 2000)) })
})
for (const method of ["log", "warn", "info"]) console[method] = () => undefined
await import(pathToFileURL(bundle).href)
await environment.execute()
writeFileSync(report, JSON.stringify(specs))
process.exit(0)
