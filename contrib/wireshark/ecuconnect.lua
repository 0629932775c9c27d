-- Wireshark dissector for the ECUconnect Logger protocol: CAN frames in a TCP stream.
--
-- Install: copy this file into the folder that Help > About Wireshark > Folders calls "Personal Lua Plugins":
--   Linux, macOS  ~/.local/lib/wireshark/plugins/
--   Windows       %APPDATA%\Wireshark\plugins\
-- or try it without: tshark -X lua_script:ecuconnect.lua -i lo -f 'tcp portrange 42420-42519'
--
-- Each frame is passed on to Wireshark's CAN dissectors, so everything for SocketCAN captures works here, too:
-- can.id filters, ISO 15765 with UDS and OBD-II, J1939, CANopen:
--   Analyze > Decode As > "CAN next level dissector", and "ISO15765 next level dissector"; or
--   tshark -d can.subdissector,iso15765 -d iso15765.subdissector,uds
-- See README.md in this folder for more.
--
-- A stream is packets back to back, from server to client only, big-endian: time stamp (8 bytes, microseconds
-- since the Unix epoch), arbitration id (4, no flag bits), flags (1), length in bytes (1), payload (0 to 64).
-- Streams are recognized by their port (preference "TCP ports", 42420 to 42519), by Decode As, or by their content.
--
-- Tested with Wireshark 4.0 (Lua 5.2) and 4.4 (Lua 5.4).

local ecuconnect = Proto("ecuconnect", "ECUconnect Logger Protocol")

local HEADER = 14
local EXTENDED, FD, BRS, ESI = 1, 2, 4, 8
local MAX_STANDARD, MAX_EXTENDED = 0x7FF, 0x1FFFFFFF
local FD_LENGTHS = {}
for _, length in ipairs({ 0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64 }) do
    FD_LENGTHS[length] = true
end

-- The upper 32 bits of time stamps from the year 2000 on, and of those from 2100 on.
local YEAR_2000 = math.floor(946684800e6 / 2 ^ 32)
local YEAR_2100 = math.floor(4102444800e6 / 2 ^ 32)
-- Patterns of the first bytes: time stamps of this century, and time stamps of clocks that were not set, too.
local THIS_CENTURY, SINCE_1970 = "^\0[\3-\14]", "^\0[\0-\14]"
-- This many packets in a row are no coincidence, whatever follows them.
local ENOUGH = 3

local f = {
    timestamp = ProtoField.absolute_time("ecuconnect.timestamp", "Time stamp", base.LOCAL, "Time of the frame on the bus"),
    id = ProtoField.uint32("ecuconnect.id", "Arbitration id", base.HEX),
    flags = ProtoField.uint8("ecuconnect.flags", "Flags", base.HEX),
    extended = ProtoField.bool("ecuconnect.flags.extended", "Extended (29-bit) id", 8, nil, EXTENDED),
    fd = ProtoField.bool("ecuconnect.flags.fd", "CAN FD", 8, nil, FD),
    brs = ProtoField.bool("ecuconnect.flags.brs", "Bit rate switch", 8, nil, BRS),
    esi = ProtoField.bool("ecuconnect.flags.esi", "Error state indicator", 8, nil, ESI),
    reserved = ProtoField.uint8("ecuconnect.flags.reserved", "Reserved", base.HEX, nil, 0xF0),
    length = ProtoField.uint8("ecuconnect.length", "Length", base.DEC, nil, nil, "Bytes of payload"),
    data = ProtoField.bytes("ecuconnect.data", "Data"),
    foreign = ProtoField.bytes("ecuconnect.foreign", "Bytes outside of packets"),
}
ecuconnect.fields = f

local e = {
    malformed = ProtoExpert.new("ecuconnect.malformed", "Malformed packet", expert.group.MALFORMED, expert.severity.ERROR),
    foreign = ProtoExpert.new("ecuconnect.foreign.bytes", "Bytes outside of packets", expert.group.MALFORMED, expert.severity.WARN),
    cut = ProtoExpert.new("ecuconnect.cut", "The rest of this packet was not captured", expert.group.UNDECODED, expert.severity.NOTE),
    clock = ProtoExpert.new("ecuconnect.clock", "The clock was not set: a time before 2000", expert.group.PROTOCOL, expert.severity.NOTE),
    kept = ProtoExpert.new("ecuconnect.kept", "Not passed to the CAN dissectors", expert.group.UNDECODED, expert.severity.NOTE),
    undissected = ProtoExpert.new("ecuconnect.undissected", "A CAN dissector gave up", expert.group.UNDECODED, expert.severity.WARN),
}
ecuconnect.experts = { e.malformed, e.foreign, e.cut, e.clock, e.kept, e.undissected }

ecuconnect.prefs.ports = Pref.range("TCP ports", "42420-42519", "Ports of ECUconnect Logger streams", 65535)

-- Decoding. `raw` is a Lua string of bytes; `at`, an offset in it, counts from 0.

local function number(raw, at, size)
    local value = 0
    for i = at + 1, at + size do
        value = value * 256 + raw:byte(i)
    end
    return value
end

local function has(flags, flag)
    return flags % (2 * flag) >= flag
end

-- Return a packet's header as a table, the time stamp in two halves because Lua 5.2 has no 64-bit integers.
local function header(raw, at)
    return {
        high = number(raw, at, 4),
        low = number(raw, at + 4, 4),
        id = number(raw, at + 8, 4),
        flags = raw:byte(at + 13),
        length = raw:byte(at + 14),
    }
end

local function of_this_century(packet)
    return packet.high >= YEAR_2000 and packet.high < YEAR_2100
end

-- Return the rule of cancorderd/protocol/packets.py that a header breaks, or nil if it is valid.
local function mistake(packet)
    local fd, extended = has(packet.flags, FD), has(packet.flags, EXTENDED)
    if packet.flags > 0x0F then
        return string.format("flags are 0x%02X; bits above 0x0F have no meaning", packet.flags)
    elseif packet.flags >= BRS and not fd then
        return string.format("flags are 0x%02X; BRS and ESI occur with FD only", packet.flags)
    elseif packet.id > (extended and MAX_EXTENDED or MAX_STANDARD) then
        return string.format("arbitration id 0x%X is above 0x%X", packet.id, extended and MAX_EXTENDED or MAX_STANDARD)
    elseif not fd and packet.length > 8 then
        return string.format("%d bytes; a classic frame holds at most 8", packet.length)
    elseif not FD_LENGTHS[packet.length] then
        return string.format("%d bytes; CAN FD has no such length", packet.length)
    end
end

-- Return the size of the packet at `at`, or nil and the reason why there is none. If the header is incomplete, only
-- its first bytes are checked, and the size is HEADER. `since_1970` also accepts clocks that were not set.
local function packet_size(raw, at, since_1970)
    local begins = since_1970 and SINCE_1970 or THIS_CENTURY
    if not raw:find(begins, at + 1) and raw:sub(at + 1) ~= "\0" then
        return nil, "the time stamp is invalid"
    elseif #raw - at < HEADER then
        return HEADER
    end
    local packet = header(raw, at)
    if not of_this_century(packet) and not (since_1970 and packet.high < YEAR_2000 and packet.high + packet.low > 0) then
        return nil, "the time stamp is invalid"
    elseif mistake(packet) then
        return nil, mistake(packet)
    end
    return HEADER + packet.length
end

-- Return the number of complete packets in a row from `at` on, up to ENOUGH, or nil if other bytes follow earlier.
local function in_a_row(raw, at, since_1970)
    local whole = 0
    while at < #raw and whole < ENOUGH do
        local size = packet_size(raw, at, since_1970)
        if not size then
            return nil
        elseif at + size <= #raw then
            whole = whole + 1
        end
        at = at + size
    end
    return whole
end

-- Return the first offset from `at` on at which `least` complete packets in a row begin, or nil.
local function find_packets(raw, at, least)
    for start = at, #raw - HEADER do
        if (in_a_row(raw, start) or 0) >= least then
            return start
        end
    end
end

-- Return the offset of the first packet in a stream at one of our ports. A capture may begin within a packet.
local function first_packet(raw)
    if in_a_row(raw, 0) or (in_a_row(raw, 0, true) or 0) > 0 then
        return 0
    end
    return find_packets(raw, 1, 1)
end

-- Return whether a stream at any port looks like ours. If it begins within a packet, more packets are required.
local function looks_like_ours(raw)
    return (in_a_row(raw, 0) or 0) > 0 or find_packets(raw:sub(1, HEADER + 64 + ENOUGH * (HEADER + 64)), 1, ENOUGH) ~= nil
end

-- Return the size of a packet that breaks a rule, if its time stamp and the packets after it are valid; else nil.
local function broken_size(raw, at)
    local packet = #raw - at >= HEADER and header(raw, at)
    local size = packet and HEADER + packet.length
    if packet and of_this_century(packet) and at + size <= #raw and in_a_row(raw, at + size) then
        return size
    end
end

-- Split a known stream: return a list of {at, size, wrong, foreign}, then offset and size of an incomplete packet at
-- the end. `wrong` is the rule that a packet breaks, `foreign` the reason why the bytes are no packet.
local function split(raw)
    local pieces, at = {}, 0
    while at < #raw do
        local size, wrong = packet_size(raw, at, true)
        if at == 0 and size and not packet_size(raw, 0) and not in_a_row(raw, 0, true) then
            size, wrong = nil, "the capture begins within a packet"
        end
        if size and at + size > #raw then
            return pieces, at, size
        end
        local piece = { at = at, size = size }
        if not size then
            piece.size = broken_size(raw, at)
            piece.wrong = piece.size and wrong
        end
        if not piece.size then
            piece.size = (find_packets(raw, at + 1, 1) or #raw) - at
            piece.foreign = wrong
        end
        table.insert(pieces, piece)
        at = at + piece.size
    end
    return pieces
end

-- Display.

-- Return a frame in candump's notation: 7E8#0210, or 7E8##10210 with the CAN FD flags of SocketCAN.
local function frame_text(packet, payload)
    local id = string.format(has(packet.flags, EXTENDED) and "%08X" or "%03X", packet.id)
    local data = payload:gsub(".", function(byte)
        return string.format("%02X", byte:byte())
    end)
    if not has(packet.flags, FD) then
        return id .. "#" .. data
    end
    return string.format("%s##%X%s", id, math.floor(packet.flags / BRS) % 4, data)
end

local function add_packet(tvb, tree, piece, packet, text)
    local at = piece.at
    local item = tree:add(ecuconnect, tvb(at, piece.size), "ECUconnect Logger Protocol, " .. text)
    local stamp_us = packet.high * 4294967296.0 + packet.low
    local time = NSTime.new(math.floor(stamp_us / 1000000), math.floor(stamp_us % 1000000) * 1000)
    local timestamp = item:add(f.timestamp, tvb(at, 8), time)
    if not of_this_century(packet) then
        timestamp:add_proto_expert_info(e.clock)
    end
    item:add(f.id, tvb(at + 8, 4))
    local flags = item:add(f.flags, tvb(at + 12, 1))
    for _, field in ipairs({ f.extended, f.fd, f.brs, f.esi, f.reserved }) do
        flags:add(field, tvb(at + 12, 1))
    end
    item:add(f.length, tvb(at + 13, 1))
    if packet.length > 0 then
        item:add(f.data, tvb(at + HEADER, packet.length))
    end
    if piece.wrong then
        item:add_proto_expert_info(e.malformed, "Malformed packet: " .. piece.wrong)
    end
    return item
end

local function add_foreign(tvb, tree, piece)
    local item = tree:add(ecuconnect, tvb(piece.at, piece.size), "ECUconnect Logger Protocol, bytes outside of packets")
    item:add(f.foreign, tvb(piece.at, piece.size))
    item:add_proto_expert_info(e.foreign, string.format("%d bytes outside of packets: %s", piece.size, piece.foreign))
end

-- Return a column's text, or an empty string: tshark has no columns if its output needs none.
local function column_text(column)
    local there, text = pcall(tostring, column)
    return there and text or ""
end

-- Wireshark's CAN dissectors expect frames as in SocketCAN captures (LINKTYPE_CAN_SOCKETCAN, struct canfd_frame):
-- id and flag bits in network order, length, FD flags, two reserved bytes, payload.
local socketcan = DissectorTable.get("wtap_encap"):get_dissector(wtap_encaps and wtap_encaps.SOCKETCAN or 125)

local function socketcan_frame(packet, payload)
    local id = string.char(
        math.floor(packet.id / 0x1000000) + (has(packet.flags, EXTENDED) and 0x80 or 0),
        math.floor(packet.id / 0x10000) % 0x100,
        math.floor(packet.id / 0x100) % 0x100,
        packet.id % 0x100
    )
    local flags = has(packet.flags, FD) and 4 + math.floor(packet.flags / BRS) % 4 or 0
    return id .. string.char(packet.length, flags, 0, 0) .. payload
end

-- Append to the Info column, and keep dissectors from changing its text.
local function add_info(pinfo, text)
    local info = pinfo.cols.info
    info:append((#column_text(info) > 0 and ", " or "") .. text)
    info:fence()
end

-- Start of the Info column if no protocol above CAN has written to it.
local CANS_OWN = "^[Ext. ]*ID: %d+ %(0x%x+%)"

-- Pass a frame to the CAN dissectors. `text`, and the text of protocols above CAN, are appended to the Info column.
local function pass_on(frame, pinfo, tree, item, text)
    local info, protocol = pinfo.cols.info, pinfo.cols.protocol
    local before, ours = column_text(info), column_text(protocol)
    local done, problem = pcall(socketcan.call, socketcan, frame, pinfo, tree)
    if not done then
        item:add_proto_expert_info(e.undissected, "A CAN dissector gave up: " .. tostring(problem):gsub("^Dissector_call: ", ""))
    end
    local above, named = column_text(info):sub(#before + 1), column_text(protocol)
    info:clear() -- only the text after the fence
    if named == "CAN" or named == "CANFD" or above:find(CANS_OWN) then
        pinfo.cols.protocol = ours
    else
        text = text .. " " .. above
    end
    add_info(pinfo, text)
end

-- Return how many frames of a captured packet can be passed on. If a packet has more layers than the preference allows
-- (500), Wireshark assumes a mistake in a dissector and shows nothing after them; a frame adds up to four.
local function most_frames()
    local known, layers = pcall(get_preference, "gui.max_tree_depth")
    return math.floor(((known and tonumber(layers) or 500) - 20) / 4)
end

local function show(tvb, raw, pinfo, tree, pieces)
    local frames, left = {}, most_frames()
    for _, piece in ipairs(pieces) do
        if not piece.foreign then
            piece.packet = header(raw, piece.at)
            piece.payload = raw:sub(piece.at + HEADER + 1, piece.at + piece.size)
        end
        piece.frame = not (piece.foreign or piece.wrong) and socketcan_frame(piece.packet, piece.payload) or ""
        table.insert(frames, piece.frame)
    end
    -- One buffer for all frames, because Wireshark shows each buffer in a tab of its own.
    local all, at = table.concat(frames), 0
    local buffer = #all > 0 and ByteArray.new(all, true):tvb("CAN frames")
    for _, piece in ipairs(pieces) do
        if piece.foreign then
            add_foreign(tvb, tree, piece)
        else
            local text = frame_text(piece.packet, piece.payload)
            local item = add_packet(tvb, tree, piece, piece.packet, text)
            left = left - 1
            if piece.wrong then
                add_info(pinfo, text .. " [Malformed]")
            elseif left < 0 then
                add_info(pinfo, text)
                item:add_proto_expert_info(e.kept, "Not passed to the CAN dissectors: raise the preference gui.max_tree_depth")
            else
                pass_on(buffer:range(at, #piece.frame):tvb(), pinfo, tree, item, text)
            end
        end
        at = at + #piece.frame
    end
end

-- Dissection.

-- Known streams, by direction: the number of the first captured packet with frames.
local known = {}
local tcp_stream = Field.new("tcp.stream")

function ecuconnect.init()
    known = {}
end

local function dissect(tvb, pinfo, tree)
    local raw = tvb:raw()
    local streams = { tcp_stream() }
    local direction = string.format("%s from %d", streams[#streams] and streams[#streams].value, pinfo.src_port)
    if not known[direction] or pinfo.number < known[direction] then
        local first = first_packet(raw)
        if not first then
            return 0 -- not our protocol: other dissectors may try
        elseif (in_a_row(raw, first, true) or 0) > 0 then
            known[direction] = pinfo.number
        end
    end

    local pieces, rest_at, rest_size = split(raw)
    -- Do this first: if a dissector above breaks off, it leaves another value in can_desegment.
    if rest_at and pinfo.can_desegment > 0 and tvb:len() == tvb:reported_len() then
        pinfo.desegment_offset = rest_at
        -- If the header is incomplete, the number of missing bytes is unknown.
        pinfo.desegment_len = #raw - rest_at < HEADER and DESEGMENT_ONE_MORE_SEGMENT or rest_at + rest_size - #raw
        rest_at = nil
    end
    if #pieces > 0 then
        pinfo.cols.protocol = "ECUconnect"
        pinfo.cols.info:clear()
        show(tvb, raw, pinfo, tree, pieces)
    end
    if rest_at then
        tree:add(ecuconnect, tvb(rest_at), "ECUconnect Logger Protocol, part of a packet"):add_proto_expert_info(e.cut)
    end
    return tvb:len()
end

local function heuristic(tvb, pinfo, tree)
    if not looks_like_ours(tvb:raw()) then
        return false
    end
    pinfo.conversation = ecuconnect -- permanently, because the next segment may begin within a packet
    return dissect(tvb, pinfo, tree) > 0
end

ecuconnect.dissector = dissect
ecuconnect:register_heuristic("tcp", heuristic)

local tcp_ports = DissectorTable.get("tcp.port")
local bound = ""

local function apply_ports()
    if ecuconnect.prefs.ports == bound then
        return
    elseif bound ~= "" then
        tcp_ports:remove(bound, ecuconnect)
    end
    bound = ecuconnect.prefs.ports
    if bound ~= "" then
        tcp_ports:add(bound, ecuconnect)
    end
end

ecuconnect.prefs_changed = apply_ports
tcp_ports:add_for_decode_as(ecuconnect)
apply_ports()
