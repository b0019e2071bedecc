"""Action units over HTTP: `edgeau serve`.

    GET  /                          a page that shows them live, from a camera, a clip or a picture
    POST /analyze                   a JPEG or PNG, as the body or as a file of multipart/form-data -> faces
    POST /analyze?session=NAME      the next frame of that camera: faces keep their numbers and their neutral
    GET  /health                    what runs: package, variant, backend; 503 from a backend's failure until it works
    GET  /metrics                   for Prometheus
    GET  /v2/...  POST /v2/models/PACKAGE/infer     the Open Inference Protocol, version 2: crops in, probabilities out

There is no authentication: it is meant for this machine, or for a network behind something that has it.
"""
