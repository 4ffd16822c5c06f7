import Hummingbird
import Weir
import WeirHTTP
import WeirHummingbird

/// A chat API: 10 requests a minute and 1,000 tokens a minute together, the tokens charged from what the response says it
/// used, streamed or not.
///
/// By hand: the tokens are guessed from the length of the prompt, or counted after the response in a second step that a
/// client avoids by closing the connection, or by not asking for the usage of a stream. Here a reserve is charged before and
/// the true number is settled at the end; what doesn't say its usage, or breaks off before it does, costs the policy's
/// `default`: that is as much as an answer may have, so nothing is gained by hiding it.
enum LanguageModelTokens: Example {
    static let title = "LLM tokens: requests and tokens a minute together, charged from the response"

    static func router(_ surroundings: Surroundings) throws -> Router<ClientContext> {
        let router = Router(context: ClientContext.self)
        router.add(middleware: RateLimitMiddleware(try surroundings.limiter("12-tokens")))
        router.post("v1/chat/completions") { request, context -> Response in
            struct Chat: Decodable {
                var prompt: String
                var stream: Bool?
                /// A stream tells its usage only to who asks for it, as OpenAI's does by `stream_options`.
                var includeUsage: Bool?

                enum CodingKeys: String, CodingKey {
                    case prompt, stream
                    case includeUsage = "include_usage"
                }
            }
            let chat = try await request.decode(as: Chat.self, context: context)
            // An answer has four words at most, of a hundred tokens each.
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
