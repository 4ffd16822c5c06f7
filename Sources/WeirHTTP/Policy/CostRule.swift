/// The cost of a request.
public enum CostRule: Sendable {
    /// The same number of units for each request.
    case fixed(Int64)
    /// A cost in the request. A request that doesn't state one costs `fallback`; a cost above `max` is refused.
    case request(RequestCost, fallback: Int64, max: Int64?)
    /// A cost in the response. `reserve` units are charged in advance, and the difference is settled at the end. A cost
    /// that can't be read is the larger of `reserve` and `fallback`; a cost above `max` is lowered to it. A response
    /// with a status of 400 or above that says no cost costs nothing, or `fallback` if `chargesErrors`. A cost by
    /// status costs `fallback` for a status that it doesn't list.
    case response(ResponseCost, reserve: Int64, fallback: Int64, max: Int64?, chargesErrors: Bool = false)

    /// The place of a cost in a request.
    public enum RequestCost: Sendable, Hashable {
        /// A header's value.
        case header(String)
        /// A query parameter's value.
        case query(String)
        /// The number of elements, members or characters of a value in a JSON body.
        case jsonLength(JSONPointer)
        /// The number of elements of a list in a JSON body; a value of any other type counts as one.
        case jsonItems(JSONPointer)
        /// A number in a JSON body, the largest at some pointers.
        case json([JSONPointer])

        var needsBody: Bool {
            switch self {
            case .header, .query: false
            case .json, .jsonLength, .jsonItems: true
            }
        }
    }

    /// The place of a cost in a response.
    public enum ResponseCost: Sendable, Hashable {
        /// The cost for each status.
        case status([Int: Int64])
        /// A header's value.
        case header(String)
        /// Numbers in the body.
        case body(BodyCost)
    }
}
