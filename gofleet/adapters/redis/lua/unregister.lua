-- Forgets the record of a driver, unless its version is no longer the one that was seen.
-- KEYS  index of free drivers, index of all drivers, all drivers by the time of their last update, the driver
-- ARGV  stale after ms, id, version that was seen or ''
local driver, stale_ms, id, seen = KEYS[4], ARGV[1], ARGV[2], ARGV[3]
if (redis.call('HGET', driver, 'version') or '') ~= seen then return 0 end
redis.call('HDEL', driver, 'name', 'on_duty', 'version')
redis.call('PEXPIRE', driver, stale_ms) -- as the positions of every driver that is not registered
for i = 1, 3 do redis.call('ZREM', KEYS[i], id) end
return 1
