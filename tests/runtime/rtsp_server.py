"""GStreamer's RTSP server on a local port: ``/usr/bin/python3 rtsp_server.py PORT [PICTURE]``.

``/live`` is the picture, or GStreamer's test pattern in 320x240, as H.264 at 15 frames per second. Needs Debian's
gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and gstreamer1.0-plugins-ugly.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURE = "multifilesrc location={} loop=true caps=image/png,framerate=15/1 ! pngdec ! videoconvert ! videoscale"
PATTERN = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1"
H264 = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=4000 key-int-max=15 ! rtph264pay name=pay0 pt=96"


def main(port: str, picture: str = "") -> None:
    Gst.init(None)
    server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
    server.set_address("127.0.0.1")
    server.set_service(port)
    source = f"{PICTURE.format(picture)} ! identity sync=true" if picture else PATTERN
    factory.set_launch(f"( {source} ! videoconvert ! video/x-raw,format=I420 ! {H264} )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


main(*sys.argv[1:])
