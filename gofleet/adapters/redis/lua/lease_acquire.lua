-- KEYS  the lease     ARGV  p:<token>, duration in ms
-- Returns the state, and for a busy lease the ms until it expires
local lease, token, lease_ms = KEYS[1], ARGV[1], ARGV[2]
local value = redis.call('GET', lease)
if value == 'done' then return {'done', 0} end
if value and value ~= token then return {'busy', redis.call('PTTL', lease)} end
redis.call('SET', lease, token, 'PX', lease_ms)
return {'acquired', 0}
