# For OPA's decision log: takes raw tokens out of it, and puts in their place what delegraph reads.
# Load it with the policies (OPA asks data.system.log.mask by default). Without it the log holds every bearer whole.
package system.log

import rego.v1

claims := io.jwt.decode(input.input.token)[1]

mask contains "/input/token" if input.input.token

# The token's id, as everybody who meets it says it: <iss>#<jti>.
mask contains {"op": "upsert", "path": "/input/token_id", "value": id} if {
	id := sprintf("%s#%s", [claims.iss, claims.jti])
}

# For whom it speaks, and through whose hands it went (RFC 8693). No other claim.
mask contains {"op": "upsert", "path": "/input/token_claims", "value": parties} if {
	parties := object.filter(claims, {"iss", "jti", "sub", "act", "client_id", "azp"})
}
