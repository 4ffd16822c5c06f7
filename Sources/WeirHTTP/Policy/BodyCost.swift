/// A cost that is read from a response's body: from JSON, server-sent events or newline-delimited JSON.
public struct BodyCost: Sendable, Hashable {
    /// A number in the body, times a weight.
    public struct Part: Sendable, Hashable {
        /// Where the number may be. The first pointer that is found counts; in a stream, its last value.
        public var pointers: [JSONPointer]
        /// The weight in millionths, negative for a discount.
        public var millionths: Int64

        /// - Parameters:
        ///   - pointers: where the number may be.
        ///   - millionths: the weight in millionths, -10^12 to 10^12.
        public init(_ pointers: [JSONPointer], millionths: Int64 = 1_000_000) {
            self.pointers = pointers
            self.millionths = millionths
        }
    }

    /// The shapes that the cost may have, each a sum of parts. Of those found, the largest counts.
    public var shapes: [[Part]]
    /// Whether a stream without the cost costs at least as many units as it has data events.
    public var countsEvents = false

    /// The most pointers in one cost.
    static let mostPointers = 64

    var pointers: [JSONPointer] { shapes.flatMap { $0.flatMap(\.pointers) } }

    /// A number at the first of some pointers.
    public static func number(_ pointers: [JSONPointer]) -> BodyCost { BodyCost(shapes: [[Part(pointers)]]) }

    /// A sum of parts.
    public static func sum(_ parts: [Part]) -> BodyCost { BodyCost(shapes: [parts]) }

    private init(shapes: [[Part]], countsEvents: Bool = false) {
        self.shapes = shapes
        self.countsEvents = countsEvents
    }

    /// The tokens of a language model's answer, input and output, cached input included: OpenAI's chat completions,
    /// completions, embeddings and Responses API, Anthropic's messages, Ollama and Gemini; streamed or not.
    public static let tokens: BodyCost = {
        func part(_ texts: String...) -> Part { Part(texts.compactMap { JSONPointer($0) }) }
        return BodyCost(
            shapes: [
                // OpenAI and those that follow it; the Responses API nests its usage when it streams.
                [part("/usage/total_tokens", "/response/usage/total_tokens")],
                [part("/usage/prompt_tokens"), part("/usage/completion_tokens")],
                // Anthropic, and the Responses API where it has no total. A stream says the input in its first event
                // and the output so far in each later one. Cached input is not part of Anthropic's input.
                [
                    part("/usage/input_tokens", "/message/usage/input_tokens", "/response/usage/input_tokens"),
                    part("/usage/output_tokens", "/message/usage/output_tokens", "/response/usage/output_tokens"),
                    part("/usage/cache_creation_input_tokens", "/message/usage/cache_creation_input_tokens"),
                    part("/usage/cache_read_input_tokens", "/message/usage/cache_read_input_tokens"),
                ],
                // Ollama.
                [part("/prompt_eval_count"), part("/eval_count")],
                // Gemini.
                [part("/usageMetadata/totalTokenCount")],
                [part("/usageMetadata/promptTokenCount"), part("/usageMetadata/candidatesTokenCount")],
            ], countsEvents: true)
    }()
}
