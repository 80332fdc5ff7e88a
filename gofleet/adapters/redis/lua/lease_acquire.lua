-- KEYS  the lease     ARGV  p:<token>, duration in ms
-- Returns the state, for a busy lease the ms until it expires, and the value of a lease that is not ours
local lease, token, lease_ms = KEYS[1], ARGV[1], ARGV[2]
local value = redis.call('GET', lease)
if value == 'done' then return {'done', 0, value} end
if value and value ~= token then return {'busy', redis.call('PTTL', lease), value} end
redis.call('SET', lease, token, 'PX', lease_ms)
return {'acquired', 0, ''}
