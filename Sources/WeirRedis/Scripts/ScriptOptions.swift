/// The options that every call passes to the script.
struct ScriptOptions {
    /// How long a key outlives its use, in milliseconds.
    var slack: Int64 = 1000
    /// How long a permit is held without being renewed, in microseconds.
    var lease: Int64 = 30_000_000
}
