/// What the script is told with every call.
struct ScriptOptions {
    /// Milliseconds that a key outlives its use.
    var slack: Int64 = 1000
    /// Microseconds that a permit is held without being renewed.
    var lease: Int64 = 30_000_000
}
