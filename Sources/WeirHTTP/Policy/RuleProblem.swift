/// A fault in a part of a policy, in the same words for a file and for code.
struct RuleProblem: Equatable {
    /// The keys that lead to the fault, as in a file: `["cost", "max"]`.
    var path: [String]
    var message: String

    init(_ path: [String], _ message: String) {
        self.path = path
        self.message = message
    }
}
