/// The cost of a request.
public enum CostRule: Sendable {
    /// The same number of units for each request.
    case fixed(Int64)
    /// A cost in the request. A request that doesn't state one costs `fallback`; a cost above `max` is refused.
    case request(RequestCost, fallback: Int64, max: Int64?)
    /// A cost in the response. `reserve` units are charged in advance, and the difference is settled at the end. A cost
    /// that can't be read is `fallback`; a cost above `max` is lowered to it.
    case response(ResponseCost, reserve: Int64, fallback: Int64, max: Int64?)

    /// The place of a cost in a request.
    public enum RequestCost: Sendable, Hashable {
        /// A header's value.
        case header(String)
        /// A query parameter's value.
        case query(String)
        /// The number of elements, members or characters of a value in a JSON body.
        case jsonLength(JSONPointer)
        /// A number in a JSON body.
        case json(JSONPointer)

        var needsBody: Bool {
            switch self {
            case .header, .query: false
            case .json, .jsonLength: true
            }
        }
    }

    /// The place of a cost in a response.
    public enum ResponseCost: Sendable, Hashable {
        /// The cost for each status.
        case status([Int: Int64])
        /// A header's value.
        case header(String)
        /// A pointer into a JSON body, or into the last server-sent event that contains it.
        case json(JSONPointer)
    }
}
