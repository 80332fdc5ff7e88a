-- Stores a driver's name and duty.
-- KEYS  index of free drivers, all drivers by the time of their last update, the driver, its orders
-- ARGV  stale after ms, forget after ms, id, name, on duty 1 or 0
local free, heard, driver, busy = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stale_ms, forget_ms, id, name, on_duty = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
redis.call('HSET', driver, 'name', name, 'on_duty', on_duty)
redis.call('PEXPIRE', driver, forget_ms)
redis.call('ZADD', heard, 'XX', now, id) -- its position is kept longer, too
settle(free, driver, busy, id, stale_ms)
return 1
