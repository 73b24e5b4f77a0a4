export { type CurvePoint, type ChartOptions, lineChart, sparkline } from "./chart.ts"
export { type TableColumn, textTable } from "./table.ts"
