/// The cost of a request.
public enum CostRule: Sendable {
    /// The same number of units for each request.
    case fixed(Int64)
    /// A cost in the request. A request that doesn't state one costs `fallback`; a cost above `max` is refused.
    case request(RequestCost, fallback: Int64, max: MostCost?)
    /// A cost in the response. The `reserve` is held until the response has ended, clipped to what the limit holds. A
    /// cost that can't be read is the larger of `reserve` and `fallback`; a cost above `max` is lowered to it. A
    /// response with a status of 400 or above that says no cost costs nothing, or `fallback` if `chargesErrors`. A cost
    /// by status costs `fallback` for a status that it doesn't list. All debt of one key is at most `max`, or a hundred
    /// times the capacity.
    case response(ResponseCost, reserve: Reserve, fallback: Int64, max: MostCost?, chargesErrors: Bool = false)

    /// The most that a request may cost; nil if nothing bounds it.
    var most: MostCost? {
        switch self {
        case .fixed: nil
        case .request(_, _, let most), .response(_, _, _, let most, _): most
        }
    }

    /// The units that a request holds until its response has said what it cost.
    public enum Reserve: Sendable, Hashable, ExpressibleByIntegerLiteral {
        /// The same number of units for each request, 0 to 10^9; 0 holds nothing.
        case units(Int64)
        /// A number in the request. A request that doesn't state it holds `fallback` units; one that can't be read
        /// holds the most that it may cost.
        case request(RequestCost, fallback: Int64)

        public init(integerLiteral value: Int64) { self = .units(value) }

        /// Whether any request holds units.
        var holdsUnits: Bool { self != .units(0) }
    }

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

        /// Whether it is in the request's body.
        package var isInBody: Bool {
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
