// An app writes one import: the policy and its limiter are WeirHTTP's, rates and stores are Weir's.
@_exported public import Weir
@_exported public import WeirHTTP
