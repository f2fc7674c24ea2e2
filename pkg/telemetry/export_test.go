package telemetry

// LogProblems exports logProblems to the tests.
var LogProblems = logProblems
