-- Delete dead letters for good.
--
-- failed -> -
--
-- KEYS  1 prefix
-- ARGV  ids
-- Returns  how many there were
-- uses: base clock dead
local gone = 0
for i = 1, #ARGV do
  if exhume(ARGV[i]) then
    redis.call('DEL', P .. 'job:' .. ARGV[i])
    gone = gone + 1
  end
end
if gone > 0 then
  redis.call('HINCRBY', P .. 'totals', 'discarded', gone)
end
return gone
