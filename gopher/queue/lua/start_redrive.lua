-- Begin to retry dead letters by and by: a few first, the rest once those have completed, at a rate. The
-- dead letters that are there now are meant, not those that die later.
--
-- KEYS  1 prefix
-- ARGV  1 id  2 groups, joined by commas, '' for all  3 how many are tried first  4 how many a second, '' for as
--       fast as it goes  5 how many at most, '' for all  6 what was asked for (JSON), for people
-- Returns  how many it will be, 0 when there is none
-- uses: base clock alarm
local id, groups, limit = ARGV[1], ARGV[2], tonumber(ARGV[5])
local record = P .. 'redrive:' .. id

local total = groups == '' and redis.call('ZCARD', P .. 'failed') or 0
for group in string.gmatch(groups, '[^,]+') do
  total = total + redis.call('ZCARD', P .. 'group:' .. group)
end
if limit then
  total = math.min(total, limit)
end
local begun = redis.call('HGET', record, 'total')
if begun or total == 0 then
  return tonumber(begun) or 0
end

redis.call('HSET', record, 'state', tonumber(ARGV[3]) > 0 and 'canary' or 'running', 'groups', groups,
  'canary', ARGV[3], 'rate', ARGV[4], 'left', total, 'total', total, 'retried', 0, 'asked', ARGV[6], 'began', now,
  'stamp', 0)
redis.call('ZADD', P .. 'redrives', now, id)
alarm('redrives', now)
return total
