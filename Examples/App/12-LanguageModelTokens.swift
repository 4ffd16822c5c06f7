import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// A chat API allows 10 requests and 1,000 tokens a minute. Tokens are charged by the usage in the response, streamed
/// or not.
///
/// By hand: tokens are guessed from the length of the prompt. Or they are counted in a second step after the response,
/// which a client avoids by closing the connection, or by not asking for the usage of a stream.
///
/// Here the request's own `max_tokens` are held while it is under way, and at its end it is charged what it used. A
/// response that doesn't state its usage, or ends before it does, costs the larger of that and the policy's `default`.
/// That is as much as an answer can cost, so a client gains nothing by hiding it.
enum LanguageModelTokens: Example {
    static let title = "LLM tokens: requests and tokens a minute together, charged from the response"

    static func router(_ surroundings: Surroundings) throws -> Router<RemoteAddressContext> {
        let router = Router(context: RemoteAddressContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("12-tokens")))
        router.post("v1/chat/completions") { request, context -> Response in
            struct Chat: Decodable {
                var prompt: String
                var stream: Bool?
                /// Whether to end a stream with its usage, as in `stream_options` of OpenAI's API.
                var includeUsage: Bool?

                enum CodingKeys: String, CodingKey {
                    case prompt, stream
                    case includeUsage = "include_usage"
                }
            }
            let chat = try await request.decode(as: Chat.self, context: context)
            // An answer has at most four words, of a hundred tokens each.
            let words = chat.prompt.split(separator: " ").prefix(4)
            let usage = "{\"usage\": {\"total_tokens\": \(words.count * 100)}}"
            guard chat.stream == true else {
                return Response(
                    status: .ok, headers: [.contentType: "application/json"],
                    body: .init(byteBuffer: ByteBuffer(string: usage)))
            }
            return Response(
                status: .ok, headers: [.contentType: "text/event-stream"],
                body: ResponseBody { writer in
                    for word in words {
                        try await writer.write(ByteBuffer(string: "data: {\"text\": \"\(word.count)\"}\n\n"))
                    }
                    if chat.includeUsage == true { try await writer.write(ByteBuffer(string: "data: \(usage)\n\n")) }
                    try await writer.write(ByteBuffer(string: "data: [DONE]\n\n"))
                    try await writer.finish(nil)
                })
        }
        return router
    }
}
