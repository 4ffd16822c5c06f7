/// The route that an app's own router found for a request.
public struct MatchedRoute: Sendable, Hashable {
    /// As in a policy, such as `/users/{id}`. A rule whose path fits it applies, however the request spelled its path; and it
    /// is the key `route` of limits that name no path.
    public var template: String?
    /// The path that the router took from the request, if that isn't as the policy reads it.
    public var path: String?

    public init(template: String?, path: String? = nil) {
        self.template = template
        self.path = path
    }
}
