-- A driver's name and duty.
-- KEYS  the free set, the driver, its orders
-- ARGV  stale after ms, forget after ms, id, name, on duty 1 or 0
local free, driver, busy = KEYS[1], KEYS[2], KEYS[3]
local stale_ms, forget_ms, id, name, on_duty = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
redis.call('HSET', driver, 'name', name, 'on_duty', on_duty)
redis.call('PEXPIRE', driver, forget_ms)
settle(free, driver, busy, id, stale_ms)
return 1
