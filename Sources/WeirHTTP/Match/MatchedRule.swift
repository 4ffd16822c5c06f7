/// One rule that a request matches, and by which of its path patterns.
struct MatchedRule {
    var rule: Int
    var pattern: Int
}
