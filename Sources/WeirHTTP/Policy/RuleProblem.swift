/// A fault in a part of a policy, worded the same for files and for code.
struct RuleProblem: Equatable {
    /// The keys that lead to the fault in a file, such as `["cost", "max"]`.
    var path: [String]
    var message: String

    init(_ path: [String], _ message: String) {
        self.path = path
        self.message = message
    }
}
