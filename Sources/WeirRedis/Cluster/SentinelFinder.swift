import NIOCore
import NIOSSL
import Weir

/// Asks sentinels, one after another, which server is the master.
struct SentinelFinder: Sendable {
    let sentinels: [RedisAddress.Endpoint]
    let master: String
    let credentials: Credentials
    let tls: NIOSSLContext?

    func find(on loop: any EventLoop) -> EventLoopFuture<RedisAddress.Endpoint> {
        credentials.command(on: loop).flatMap { authentication in
            find(
                on: loop, sentinels.shuffled()[...], authentication,
                StoreError(.unavailable, "no sentinel answers"))
        }
    }

    private func find(
        on loop: any EventLoop, _ left: ArraySlice<RedisAddress.Endpoint>, _ authentication: RESPCommand?,
        _ failure: StoreError
    ) -> EventLoopFuture<RedisAddress.Endpoint> {
        guard let sentinel = left.first else { return loop.makeFailedFuture(failure) }
        let question = RESPCommand("SENTINEL", "get-master-addr-by-name", master)
        return OneCommand.ask(sentinel, question, after: authentication, on: loop, tls: tls).flatMapThrowing { value in
            guard let parts = value.elements, parts.count == 2, let host = parts[0].text,
                let port = parts[1].text.flatMap({ Int($0) }), (1...65535).contains(port)
            else {
                throw StoreError(.unavailable, "the sentinels know no master called '\(master)'")
            }
            return RedisAddress.Endpoint(host: host, port: port)
        }.flatMapError { error in
            find(on: loop, left.dropFirst(), authentication, error as? StoreError ?? failure)
        }
    }
}
