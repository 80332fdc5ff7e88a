-- KEYS  the lease     ARGV  p:<token>, keep `done` for ms
local lease, token, done_ms = KEYS[1], ARGV[1], ARGV[2]
local value = redis.call('GET', lease)
if value and value ~= token then return 0 end
redis.call('SET', lease, 'done', 'PX', done_ms)
return 1
