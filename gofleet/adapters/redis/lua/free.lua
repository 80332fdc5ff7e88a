-- Frees the driver from the order: it was delivered, cancelled or assigned to another driver.
-- KEYS  index of free drivers, the driver, its orders, the sequence with which it was freed from the order
-- ARGV  stale after ms, id, order, sequence, keep the sequence for ms
local free, driver, busy, freed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local stale_ms, id, order, sequence, remember_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local held = redis.call('HGET', busy, order)
if held and tonumber(held) <= sequence then redis.call('HDEL', busy, order) end
local over = redis.call('GET', freed)
if not over or tonumber(over) < sequence then redis.call('SET', freed, sequence, 'PX', remember_ms) end
settle(free, driver, busy, id, stale_ms)
return 1
