/// The cost of a request.
public struct CostRule: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        case fixed(Int64)
        case request(RequestCost.Kind, fallback: Int64, max: MostCost?)
        case response(ResponseCost.Kind, reserve: Reserve.Kind, fallback: Int64, max: MostCost?, chargesErrors: Bool)
    }

    package let kind: Kind

    package init(_ kind: Kind) { self.kind = kind }

    /// The same number of units for each request, 0 to 10^9.
    public static func fixed(_ units: Int64) -> CostRule { CostRule(.fixed(units)) }

    /// A cost in the request.
    ///
    /// - Parameters:
    ///   - cost: where the cost is.
    ///   - fallback: the units of a request that doesn't state its cost.
    ///   - max: the most that a request may cost; a request that states more is refused. Nil for no bound.
    public static func request(_ cost: RequestCost, fallback: Int64, max: MostCost? = nil) -> CostRule {
        CostRule(.request(cost.kind, fallback: fallback, max: max))
    }

    /// A cost in the response.
    ///
    /// A response with a status of 400 or above that says no cost costs nothing, unless `chargesErrors`. All debt of
    /// one key is at most `max`, or a hundred times the capacity.
    ///
    /// - Parameters:
    ///   - cost: where the cost is.
    ///   - reserve: what is held until the response has ended, clipped to what the limit holds.
    ///   - fallback: the least that a response costs whose cost can't be read, and the cost of a status that isn't
    ///     listed.
    ///   - max: the most that a response may cost; a higher cost is lowered to it. Nil for no bound.
    ///   - chargesErrors: whether an error that says no cost costs `fallback`.
    public static func response(
        _ cost: ResponseCost, reserve: Reserve, fallback: Int64, max: MostCost? = nil, chargesErrors: Bool = false
    ) -> CostRule {
        CostRule(
            .response(cost.kind, reserve: reserve.kind, fallback: fallback, max: max, chargesErrors: chargesErrors))
    }

    /// The most that a request may cost; nil if nothing bounds it.
    var most: MostCost? {
        switch kind {
        case .fixed: nil
        case .request(_, _, let most), .response(_, _, _, let most, _): most
        }
    }

    /// The units that a request holds until its response has said what it cost.
    public struct Reserve: Sendable, Hashable, ExpressibleByIntegerLiteral {
        package enum Kind: Sendable, Hashable {
            case units(Int64)
            case request(RequestCost.Kind, fallback: Int64)

            /// Whether any request holds units.
            var holdsUnits: Bool { self != .units(0) }
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// The same number of units for each request, 0 to 10^9; 0 holds nothing.
        public static func units(_ units: Int64) -> Reserve { Reserve(.units(units)) }

        /// A number in the request. A request that doesn't state it holds `fallback` units; one that can't be read
        /// holds the most that it may cost.
        public static func request(_ cost: RequestCost, fallback: Int64) -> Reserve {
            Reserve(.request(cost.kind, fallback: fallback))
        }

        /// The same number of units for each request.
        public init(integerLiteral value: Int64) { kind = .units(value) }
    }

    /// The place of a cost in a request.
    public struct RequestCost: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            case header(String)
            case query(String)
            case jsonLength(JSONPointer)
            case jsonItems(JSONPointer)
            case json([JSONPointer])

            /// Whether it is in the request's body.
            package var isInBody: Bool {
                switch self {
                case .header, .query: false
                case .json, .jsonLength, .jsonItems: true
                }
            }
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// A header's value.
        public static func header(_ name: String) -> RequestCost { RequestCost(.header(name)) }
        /// A query parameter's value.
        public static func query(_ name: String) -> RequestCost { RequestCost(.query(name)) }
        /// The number of elements, members or characters of a value in a JSON body.
        public static func jsonLength(_ pointer: JSONPointer) -> RequestCost { RequestCost(.jsonLength(pointer)) }
        /// The number of elements of a list in a JSON body; a value of any other type counts as one.
        public static func jsonItems(_ pointer: JSONPointer) -> RequestCost { RequestCost(.jsonItems(pointer)) }
        /// A number in a JSON body, the largest at some pointers.
        public static func json(_ pointers: [JSONPointer]) -> RequestCost { RequestCost(.json(pointers)) }
    }

    /// The place of a cost in a response.
    public struct ResponseCost: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            case status([Int: Int64])
            case header(String)
            case body(BodyCost)
        }

        package let kind: Kind

        package init(_ kind: Kind) { self.kind = kind }

        /// The cost for each status.
        public static func status(_ costs: [Int: Int64]) -> ResponseCost { ResponseCost(.status(costs)) }
        /// A header's value.
        public static func header(_ name: String) -> ResponseCost { ResponseCost(.header(name)) }
        /// Numbers in the body.
        public static func body(_ cost: BodyCost) -> ResponseCost { ResponseCost(.body(cost)) }
    }
}
