// How a request passes through a policy, without a server.

import HTTPTypes
import Weir
import WeirHTTP

// snippet.policy
// A policy in code. To read one from a file, use `.file("weir.yaml")`.
var predict = LimitRule("predict", .perMinute(20), .perHour(500))
predict.match = try RequestMatch("POST", paths: "/predict")
let limiter = try RequestLimiter(policy: try Policy(limits: [predict]))
// snippet.end

/// Stands in for your server's way to send a response.
func answer(_ status: Int, _ headers: HTTPFields, _ body: String) {
    print(status, headers, body)
}

// snippet.request
func serve(_ head: HTTPRequest, _ body: [UInt8], from peer: IPAddress) async {
    // Reuse the object for later requests to avoid allocations.
    let request = LimitedRequest(limiter)
    var step = request.begin(HTTPTypesRequest(head), on: limiter, peer: peer)
    var verdict: LimitedRequest.Verdict?
    while verdict == nil {
        switch step {
        case .verdict(let reached): verdict = reached
        // These steps occur only if a cost is in the body, or if counters or clients are in Redis.
        case .needsBody: step = request.resume(body: .bytes(body))
        case .pending(let answer): verdict = request.resume(decisions: await answer.value)
        case .needsLookup(let answer):
            step = request.resume(lookup: await answer.value, HTTPTypesRequest(head))
        // A later version of Weir may need something that this code doesn't know.
        @unknown default: return answer(500, [:], "")
        }
    }
    var headers = HTTPFields()
    request.writeHeaders { name, value in
        if let name = HTTPField.Name(name) { headers[name] = value }
    }
    switch verdict {
    case .answer(let problem)?:
        headers[.contentType] = ProblemDetails.mediaType
        request.writeCrossOriginHeaders { name, value in
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        answer(problem.status, headers, problem.json)
        request.finish(isComplete: false)
    case .pass?, nil:
        answer(200, headers, "predicted")
        // Release permits, and settle costs that depend on the response.
        request.finish(isComplete: true)
    @unknown default: answer(500, [:], "")
    }
}
// snippet.end

if let peer = IPAddress("192.0.2.1") {
    let head = HTTPRequest(method: .post, scheme: "https", authority: "api.example", path: "/predict")
    await serve(head, [], from: peer)
}
