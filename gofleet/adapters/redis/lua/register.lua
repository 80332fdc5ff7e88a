-- Registers a driver: stores its record, unless a later version is stored that is not the one to be replaced.
-- KEYS  index of free drivers, index of all drivers, all drivers by the time of their last update, the driver, its orders
-- ARGV  stale after ms, forget after ms, id, name, on duty 1 or 0, version, version to be replaced or ''
local free, seen, heard, driver, busy = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local stale_ms, forget_ms, id, name, on_duty = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local version, replaced = ARGV[6], ARGV[7]
local stored, lat, lng = unpack(redis.call('HMGET', driver, 'version', 'lat', 'lng'))
if stored and tonumber(stored) > tonumber(version) and stored ~= replaced then return 0 end
redis.call('HSET', driver, 'name', name, 'on_duty', on_duty, 'version', version)
redis.call('PEXPIRE', driver, forget_ms)
if lat then
    redis.call('GEOADD', seen, markable(lng), lat, id)
    redis.call('ZADD', heard, now, id) -- its position is kept longer, too
end
settle(free, driver, busy, id, stale_ms)
return 1
