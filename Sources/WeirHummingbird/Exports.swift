// What an app needs to limit its routes, with one import. For the rest, such as matches, costs and tiers in code,
// import WeirHTTP; for limiters of other things than requests, import Weir.
@_exported public import struct Weir.Rate
@_exported public import struct WeirHTTP.AppClient
@_exported public import struct WeirHTTP.Denial
@_exported public import struct WeirHTTP.KeyDimension
@_exported public import struct WeirHTTP.LimitRule
@_exported public import struct WeirHTTP.Policy
@_exported public import struct WeirHTTP.PolicyError
@_exported public import class WeirHTTP.RequestLimiter
