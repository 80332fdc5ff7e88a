-- KEYS  the lease     ARGV  p:<token>, duration in ms, the value that was seen
-- Only if unchanged: another consumer may have taken it over meanwhile, or its holder may have finished after all.
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1}
