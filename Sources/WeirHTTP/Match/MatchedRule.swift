/// A rule that a request matches.
struct MatchedRule {
    /// The rule's index in the policy's list.
    var rule: Int
    /// The index of the first of the rule's path patterns that matches, 0 if the rule has no paths.
    var pattern: Int
}
