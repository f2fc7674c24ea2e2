package telemetry

// LogProblems is what StartTracing calls.
var LogProblems = logProblems
