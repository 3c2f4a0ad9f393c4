-- Requeue the jobs in the list of a live worker that does not hold them: otherwise they would never finish. The worker
-- tells which jobs it holds, and of which fetches it has read the replies.
--
-- processing -> the head of pending, or failed when its worker was lost too often
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 limit  3 how often a job may lose its worker  4 default retention ms
--       5 the first number of tokens of which a reply may still come  6 the same for fetches behind a BRPOPLPUSH
--       7 numbers of such fetches, joined by commas, whose replies never came: a fetch delivers their jobs again
--       then the tokens that it holds
-- Returns  LOST when the lease was taken away, else OK, and the ids of those that it did not hold

local worker, limit = ARGV[1], tonumber(ARGV[2])
local own = P .. KEY.processing .. worker
allow_when_full()
if not redis.call('ZSCORE', P .. KEY.workers, worker) then
  return { 'LOST' }
end

local held = {}
for i = 8, #ARGV do
  held[ARGV[i]] = true
end

-- Return whether the reply that brought a token was read: if not, it may be on its way.
local function was_read(pop, number)
  if pop == 'b' then
    return number < tonumber(ARGV[6]) and not string.find(',' .. ARGV[7] .. ',', ',' .. number .. ',', 1, true)
  end
  return number < tonumber(ARGV[5])
end

-- Return whether a job of the list must be left there: it is held, or a fetch will deliver it.
local function is_expected(state, token)
  if state ~= STATE.processing then
    return state == STATE.pending
  end
  local owner, pop, number = string.match(token or '', '^(.*)%.(b?)(%d+)$')
  return owner == worker and (held[token] or not was_read(pop, tonumber(number)))
end

local ids = {}
for _, id in ipairs(redis.call('LRANGE', own, 0, -1)) do
  local fields = read_record(id, 'state', 'token')
  if limit > 0 and not is_expected(fields[1], fields[2]) then
    give_back(worker, id, COUNTER.reclaimed, tonumber(ARGV[3]), ARGV[4])
    redis.call('LREM', own, 1, id)
    limit = limit - 1
    if fields[1] == STATE.processing and string.match(fields[2] or '', '^(.*)%.') == worker then
      ids[#ids + 1] = id
    end
  end
end

if returned + children_released > 0 then
  ensure_next()
end
write_counts()
return { 'OK', unpack(ids) }
